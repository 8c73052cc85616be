import type { Operation } from "fast-json-patch";
import { pointer } from "../admission/patch.ts";
import type { Cache } from "../cachenames/types.ts";
import { fieldsOf, stringField } from "../json.ts";

const PATH = ["spec", "imagePullSecrets"];

function entriesOf(object: unknown): readonly unknown[] | undefined {
  const entries = fieldsOf(fieldsOf(object)?.["spec"])?.["imagePullSecrets"];
  return Array.isArray(entries) ? entries : undefined;
}

/** Whether a Pod names the Secret that its node pulls from the cache with; true where it needs none. */
export function namesPullSecret(pod: unknown, { imagePullSecretName }: Cache): boolean {
  if (imagePullSecretName === undefined) return true;
  return (entriesOf(pod) ?? []).some((entry) => stringField(entry, "name") === imagePullSecretName);
}

/** The names of the Secrets that the Pod needs for these caches and does not name yet, each once. */
export function missingPullSecrets(pod: unknown, caches: readonly Cache[]): readonly string[] {
  const named = new Set((entriesOf(pod) ?? []).map((entry) => stringField(entry, "name")));
  const needed = new Set(caches.flatMap(({ imagePullSecretName }) => imagePullSecretName ?? []));
  return [...needed].filter((name) => !named.has(name));
}

/** Operations that add pull Secrets to a Pod, after its own. */
export function pullSecretOperations(pod: unknown, secrets: readonly string[]): readonly Operation[] {
  if (secrets.length === 0) return [];
  const value = secrets.map((name) => ({ name }));
  if (entriesOf(pod) === undefined) return [{ op: "add", path: pointer(PATH), value }];
  return value.map((entry): Operation => ({ op: "add", path: pointer([...PATH, "-"]), value: entry }));
}
