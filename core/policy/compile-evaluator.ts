import { createHash } from "node:crypto";
import type { EvaluatedPolicy } from "../../crds/index.ts";
import type { Lookups } from "./compile-key.ts";
import { shownUrl } from "./needs.ts";
import type { Evaluator, ObjectCondition } from "./types.ts";
import { uncompilable } from "./uncompilable.ts";

/** The languages in which a policy can be written. */
export const LANGUAGES = ["cue", "rego", "cel"] as const satisfies readonly Evaluator["language"][];

function languageOf(type: string | undefined): Evaluator["language"] {
  const language = LANGUAGES.find((known) => known === type);
  if (language === undefined) throw uncompilable(`policy.type "${type ?? ""}" is none of ${LANGUAGES.join(", ")}`);
  return language;
}

function fromConfigMap(
  { name = "", key = "" }: NonNullable<EvaluatedPolicy["configMapRef"]>,
  lookups: Lookups,
): string {
  const data = lookups.configMaps(name);
  if (data === undefined) throw uncompilable(`ConfigMap "${name}" is not in the system namespace: create it`);
  const source = Object.hasOwn(data, key) ? data[key] : undefined;
  if (source === undefined) throw uncompilable(`ConfigMap "${name}" has no key "${key}"`);
  return source;
}

/** The sum is checked again: what stands in a ConfigMap is not what was fetched because it says so. */
function fromRemote({ url = "", sha256sum = "" }: NonNullable<EvaluatedPolicy["remote"]>, { own }: Lookups): string {
  const source = own?.documents[sha256sum];
  if (source === undefined) {
    throw uncompilable(
      `the policy at ${shownUrl(url)} is not there: ${own?.problems[url] ?? "the operator has not fetched it yet"}`,
    );
  }
  if (createHash("sha256").update(source).digest("hex") !== sha256sum)
    throw uncompilable(`the policy at ${shownUrl(url)} does not have the sha256sum ${sha256sum}`);
  return source;
}

/** A policy's source from wherever it is written. Throws `POLICY_UNCOMPILABLE` when it is not there. */
export function compileEvaluator(policy: EvaluatedPolicy, lookups: Lookups): Evaluator {
  const language = languageOf(policy.type);
  if (policy.data) return { language, source: policy.data };
  if (policy.configMapRef !== undefined) return { language, source: fromConfigMap(policy.configMapRef, lookups) };
  if (policy.remote !== undefined) return { language, source: fromRemote(policy.remote, lookups) };
  throw uncompilable("the policy has none of data, configMapRef, remote");
}

/** `spec.policy`. Throws `POLICY_UNCOMPILABLE`. */
export function compileCondition(policy: EvaluatedPolicy, lookups: Lookups): ObjectCondition {
  return {
    ...compileEvaluator(policy, lookups),
    fetchConfigFile: policy.fetchConfigFile === true,
    includeSpec: policy.includeSpec === true,
    includeObjectMeta: policy.includeObjectMeta === true,
    includeTypeMeta: policy.includeTypeMeta === true,
  };
}
