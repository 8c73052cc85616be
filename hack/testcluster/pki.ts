import { generateKeyPairSync, randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

/** Who may talk to the API server, by bearer token: name, user name, groups. The server makes its own certificate. */
const IDENTITIES = [
  { name: "admin", user: "admin", group: "system:masters" },
  { name: "node", user: "system:node:node1", group: "system:nodes" },
] as const;

export type Identity = (typeof IDENTITIES)[number]["name"];

/** Where the kubeconfig of an identity lies. */
export function kubeconfigPath(dir: string, identity: Identity): string {
  return join(dir, `${identity}.kubeconfig`);
}

/** Writes tokens, kubeconfigs and the key that signs ServiceAccount tokens. Nothing of it leaves the state folder. */
export function writeCredentials(dir: string, server: string): void {
  const secret = { mode: 0o600 };
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  writeFileSync(join(dir, "pki/service-account.key"), privateKey.export({ type: "sec1", format: "pem" }), secret);
  writeFileSync(join(dir, "pki/service-account.pub"), publicKey.export({ type: "spki", format: "pem" }), secret);
  const tokens = IDENTITIES.map((identity) => ({ ...identity, token: randomBytes(16).toString("hex") }));
  const rows = tokens.map((row) => [row.token, row.user, row.name, `"${row.group}"`].join(","));
  writeFileSync(join(dir, "pki/tokens.csv"), `${rows.join("\n")}\n`, secret);
  for (const { name, token } of tokens)
    writeFileSync(kubeconfigPath(dir, name), kubeconfig(dir, server, token), secret);
}

function kubeconfig(dir: string, server: string, token: string): string {
  const named = "entrepot-test";
  return `${JSON.stringify(
    {
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: named, cluster: { server, "certificate-authority": apiCertificate(dir) } }],
      users: [{ name: named, user: { token } }],
      contexts: [{ name: named, context: { cluster: named, user: named } }],
      "current-context": named,
    },
    null,
    2,
  )}\n`;
}

/** The API server's certificate and the authority that signed it, in one file that the server itself writes. */
export function apiCertificate(dir: string): string {
  return join(dir, "pki/apiserver.crt");
}
