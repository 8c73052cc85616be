import { type Keyring, NEXT_KEY_LEAD_SECONDS, parseKeyring } from "../../core/cache/keyring.ts";
import type { ClusterHandle } from "../../hack/testcluster/handle.ts";

const SYSTEM = "cosign-system";
const SECRET = "entrepot-seal-keys";

/** The seal keys as they stand in their Secret, which must be there. */
async function sealKeys(cluster: Pick<ClusterHandle, "kubectl">): Promise<Keyring> {
  const text = await cluster.kubectl(["-n", SYSTEM, "get", "secret", SECRET, "-o", "jsonpath={.data.jwks\\.json}"]);
  return parseKeyring(Buffer.from(text, "base64").toString("utf8"));
}

/** The same keys, `seconds` older. */
export function aged({ keys }: Keyring, seconds: number): Keyring {
  return { keys: keys.map((key) => ({ ...key, iat: key.iat - seconds })) };
}

/** Asks the operator for a rotation, with a next key that has been known for long enough. */
export async function demandRotation(cluster: Pick<ClusterHandle, "kubectl">): Promise<void> {
  const keyring = aged(await sealKeys(cluster), NEXT_KEY_LEAD_SECONDS);
  const data = { "jwks.json": Buffer.from(JSON.stringify(keyring)).toString("base64") };
  const patch = JSON.stringify({ data, metadata: { annotations: { "entrepot.dev/rotate": "now" } } });
  await cluster.kubectl(["-n", SYSTEM, "patch", "secret", SECRET, "--type=merge", "-p", patch]);
}
