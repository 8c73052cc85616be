import { type Fields, fieldsOf } from "../json.ts";
import type { AuthorityMatches, EvaluationResult, Evaluator, ObjectCondition } from "./types.ts";

/** The name under which `spec.policy` stands in messages. */
const SPEC_POLICY = "ClusterImagePolicy";

/** The object under admission, as far as `spec.policy` can ask for it. */
export interface ConditionSubject {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly object: Fields;
}

/** Whether a `spec.policy`, compiled or not, is shown anything of the object itself: else it is about the image alone. */
export function readsObject(condition: {
  readonly includeSpec?: boolean | undefined;
  readonly includeObjectMeta?: boolean | undefined;
  readonly includeTypeMeta?: boolean | undefined;
}): boolean {
  return [condition.includeSpec, condition.includeObjectMeta, condition.includeTypeMeta].includes(true);
}

/** A refusal by an evaluator, in cosign's words (`pkg/policy/eval.go`); `name` is the attestation's. */
export function rejection({ language }: Evaluator, name: string, message: string): string {
  return `failed evaluating ${language} policy for ${language === "rego" ? "type " : ""}${name}: ${message}`;
}

/** The same for `spec.policy`. */
export function conditionRejection(condition: ObjectCondition, message: string): string {
  return rejection(condition, SPEC_POLICY, message);
}

/** What policy-controller keeps of each kind's spec: its duck types' fields (`duckv1.PodScalable`, `duckv1.WithPod`). */
const SPEC_FIELDS: Readonly<Record<string, readonly string[]>> = {
  Deployment: ["replicas", "selector", "template"],
  ReplicaSet: ["replicas", "selector", "template"],
  StatefulSet: ["replicas", "selector", "template"],
  DaemonSet: ["template"],
  Job: ["template"],
};

function specOf({ kind, object }: ConditionSubject): unknown {
  const fields = SPEC_FIELDS[kind];
  const spec = fieldsOf(object["spec"]);
  if (fields === undefined || spec === undefined) return object["spec"];
  return Object.fromEntries(fields.flatMap((field) => (spec[field] === undefined ? [] : [[field, spec[field]]])));
}

function typeOf({ group, version, kind }: ConditionSubject): Fields {
  return { kind, apiVersion: group === "" ? version : `${group}/${version}` };
}

/**
 * The document that `spec.policy` judges: policy-controller's `PolicyResult` as JSON (absent where empty), with `typemeta` for Pods
 * too. `config` is the JSON of `FetchConfigFiles`, where the policy asks for it.
 */
export function conditionInput(
  condition: ObjectCondition,
  matches: AuthorityMatches,
  subject: ConditionSubject,
  config: string | undefined,
): string {
  const spec = condition.includeSpec ? specOf(subject) : undefined;
  const metadata = condition.includeObjectMeta ? subject.object["metadata"] : undefined;
  return JSON.stringify({
    ...(Object.keys(matches).length > 0 && { authorityMatches: matches }),
    ...(condition.fetchConfigFile && config !== undefined && { config: JSON.parse(config) as unknown }),
    ...(spec !== undefined && { spec }),
    ...(metadata !== undefined && { metadata }),
    ...(condition.includeTypeMeta && { typemeta: typeOf(subject) }),
  });
}

/** Why `spec.policy` refuses the object, or undefined if it does not. */
export function conditionReason(condition: ObjectCondition, result: EvaluationResult): string | undefined {
  return result.kind === "compliant" ? undefined : conditionRejection(condition, result.message);
}
