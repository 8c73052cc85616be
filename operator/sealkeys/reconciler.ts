import type { Clock } from "../../adapters/clock.ts";
import type { KubeClient } from "../../adapters/kube/types.ts";
import type { Log } from "../../adapters/telemetry/log.ts";
import {
  activeKey,
  type Keyring,
  newSealKey,
  nextChange,
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
/** Set on the Secret, whatever its value: rotate as soon as the next key is known to everybody. Taken away when done. */
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

/** What a reconciliation comes to. */
interface Outcome {
  readonly after: Keyring;
  /** A rotation was asked for, and is not done yet: the next key is too young, or the ring is full. */
  readonly waiting: boolean;
}

function decide(before: Keyring | undefined, rule: RotationRule, demanded: boolean, now: Date): Outcome {
  const after = rotateKeyring(before, rule, now, newSealKey);
  const isSame = before !== undefined && activeKey(after).kid === activeKey(before).kid;
  return { after, waiting: demanded && isSame };
}

/**
 * Keeps the Secret `entrepot-seal-keys`: one key that seals, the next one, and retired ones for as long as records live (design D3).
 * Rotation by the rule, and on demand by the annotation `entrepot.dev/rotate`. Keeps their public halves in the ConfigMap
 * `entrepot-seal-keys-public`. Only the leader runs it; keys never reach a log.
 */
export function sealKeyReconciler(dependencies: SealKeyDependencies): Reconcile {
  const { client, namespace, clock, log } = dependencies;
  const publish = async (keyring: Keyring, signal: AbortSignal): Promise<void> => {
    if (await publishKeyring(dependencies, keyring, signal))
      log.info("public seal keys written", { configMap: PUBLIC_KEYS_CONFIG_MAP, keys: keyring.keys.length });
  };
  return async (_key, signal) => {
    const secret = dependencies.secrets.get(`${namespace}/${SEAL_KEYS_SECRET}`);
    const { [ROTATE_ANNOTATION]: demand, ...others } = secret?.metadata.annotations ?? {};
    const before = read(secret, log);
    const now = clock.now();
    const rule = demand === undefined ? dependencies.rule : { ...dependencies.rule, rotateAfterSeconds: 0 };
    const { after, waiting } = decide(before, rule, demand !== undefined, now);
    const isSettled = after === before && (demand === undefined || waiting);
    if (!isSettled) {
      const files = { [KEYRING_FILE]: JSON.stringify(after) };
      const annotations = waiting && demand !== undefined ? { ...others, [ROTATE_ANNOTATION]: demand } : others;
      await putSecret(client, { name: SEAL_KEYS_SECRET, namespace, live: secret, files, annotations, signal });
      const demanded = demand !== undefined;
      const counts = { keys: after.keys.length, demanded, waiting };
      log.info("seal keyring written", { secret: SEAL_KEYS_SECRET, kid: activeKey(after).kid, ...counts });
    }
    await publish(after, signal); // never before the Secret: a lost race must not publish a key that seals nothing
    if (!isSettled) return {};
    const dueMs = nextChange(after, rule) * 1000;
    if (waiting) log.info("rotation of the seal keys waits", { until: new Date(dueMs).toISOString() });
    return { requeueAfterMs: Math.min(LONGEST_WAIT_MS, Math.max(1_000, dueMs - now.getTime())) };
  };
}
