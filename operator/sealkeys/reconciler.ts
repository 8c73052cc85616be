import type { Clock } from "../../adapters/clock.ts";
import type { KubeClient } from "../../adapters/kube/types.ts";
import type { Log } from "../../adapters/telemetry/log.ts";
import {
  activeKey,
  type Keyring,
  newSealKey,
  parseKeyring,
  type RotationRule,
  rotateKeyring,
} from "../../core/cache/keyring.ts";
import { PUBLIC_KEYS_CONFIG_MAP } from "../../core/cache/publicjwks.ts";
import type { Objects, SecretObject } from "../resources.ts";
import type { Reconcile } from "../runtime/controller.ts";
import { putSecret, secretFiles } from "../secrets.ts";
import type { ConfigMapObject } from "../trustroot/configmap.ts";
import { publishKeyring } from "./publish.ts";

export const SEAL_KEYS_SECRET = "entrepot-seal-keys";
const KEYRING_FILE = "jwks.json";
/** Set on the Secret, whatever its value: rotate now. Taken away when done. */
export const ROTATE_ANNOTATION = "entrepot.dev/rotate";

/** What the reconciler of the seal keys works with. */
export interface SealKeyDependencies {
  readonly client: Pick<KubeClient, "get" | "create" | "replace">;
  readonly namespace: string;
  readonly secrets: Objects<SecretObject>;
  /** Knows `entrepot-seal-keys-public`. */
  readonly configMaps: Pick<Objects<ConfigMapObject>, "get">;
  readonly rule: RotationRule;
  readonly clock: Clock;
  readonly log: Log;
}

const LONGEST_WAIT_MS = 3_600_000;

/** When the rule next changes the keyring. */
function nextChange(keyring: Keyring, rule: RotationRule): number {
  const due = keyring.keys.map(({ iat, retired }) =>
    retired === undefined ? iat + rule.rotateAfterSeconds : retired + rule.keepRetiredSeconds,
  );
  return Math.min(...due) * 1000;
}

function read(secret: SecretObject | undefined, log: Log): Keyring | undefined {
  const text = secretFiles(secret, [KEYRING_FILE])[KEYRING_FILE];
  if (text === undefined) return undefined;
  try {
    return parseKeyring(text);
  } catch {
    // Nothing that it sealed can be opened by anybody: a new keyring costs a verification per image, no keyring costs all of them.
    log.error("seal keyring unreadable, making a new one", { secret: SEAL_KEYS_SECRET });
    return undefined;
  }
}

/**
 * Keeps the Secret `entrepot-seal-keys`: one key that seals, and retired ones for as long as records live (design D3). Rotation by the
 * rule, and on demand by the annotation `entrepot.dev/rotate`. Keeps their public halves in the ConfigMap `entrepot-seal-keys-public`.
 * Only the leader runs it; keys never reach a log.
 */
export function sealKeyReconciler(dependencies: SealKeyDependencies): Reconcile {
  const { client, namespace, rule, clock, log } = dependencies;
  const publish = async (keyring: Keyring, signal: AbortSignal): Promise<void> => {
    if (await publishKeyring(dependencies, keyring, signal))
      log.info("public seal keys written", { configMap: PUBLIC_KEYS_CONFIG_MAP, keys: keyring.keys.length });
  };
  return async (_key, signal) => {
    const secret = dependencies.secrets.get(`${namespace}/${SEAL_KEYS_SECRET}`);
    const { [ROTATE_ANNOTATION]: demand, ...annotations } = secret?.metadata.annotations ?? {};
    const before = read(secret, log);
    const effective = demand === undefined ? rule : { ...rule, rotateAfterSeconds: 0 };
    const now = clock.now();
    const after = rotateKeyring(before, effective, now, newSealKey);
    if (after === before && demand === undefined) {
      await publish(after, signal);
      return { requeueAfterMs: Math.min(LONGEST_WAIT_MS, Math.max(1_000, nextChange(after, rule) - now.getTime())) };
    }
    const files = { [KEYRING_FILE]: JSON.stringify(after) };
    await putSecret(client, { name: SEAL_KEYS_SECRET, namespace, live: secret, files, annotations, signal });
    log.info("seal keyring written", {
      secret: SEAL_KEYS_SECRET,
      kid: activeKey(after).kid,
      retired: after.keys.length - 1,
      demanded: demand !== undefined,
    });
    await publish(after, signal); // never before the Secret: a lost race must not publish a key that seals nothing
    return {};
  };
}
