import { type Condition, type ConditionUpdate, setCondition } from "../../core/conditions.ts";
import { type ClusterImagePolicyObject, CONDITION, REASON } from "../../crds/index.ts";
import type { PoliciesPage } from "../pages/documents.ts";
import type { Answer } from "../pages/poll.ts";

type Update = Omit<ConditionUpdate, "observedGeneration">;

interface Standing {
  readonly status: "True" | "False";
  readonly reason: string;
  readonly message: string;
}

/** What each condition says when all is well; replicas report one problem, not one per condition, so they fail together. */
const GOOD: Readonly<Record<string, string>> = {
  [CONDITION.KeysInlined]: "the keys that the policy names are read",
  [CONDITION.PoliciesInlined]: "what the policy asks of images is read",
  [CONDITION.ConfigMapUpdated]: "every webhook replica has the policy",
  [CONDITION.Ready]: "every webhook replica enforces this generation",
};

/** How a policy stands with the webhook replicas: enforced only if each of them holds this generation of it, without a problem. */
export function standing(policy: ClusterImagePolicyObject, answers: readonly Answer<PoliciesPage>[]): Standing {
  const waiting = (message: string): Standing => ({ status: "False", reason: REASON.WaitingForWebhooks, message });
  const { uid, generation } = policy.metadata;
  if (answers.length === 0) {
    return waiting(
      'no Pod of Deployment "webhook" is ready; see kubectl describe deployment webhook in the system namespace',
    );
  }
  for (const answer of answers) {
    if ("problem" in answer) continue;
    const loaded = answer.page.get(uid);
    if (loaded?.generation === generation && loaded.problem !== undefined) {
      return {
        status: "False",
        reason: REASON.CompileFailed,
        message: `${loaded.problem}; until it is put right, images that this policy matches are refused`,
      };
    }
  }
  const behind = answers.find((answer) => "problem" in answer || answer.page.get(uid)?.generation !== generation);
  if (behind === undefined) return { status: "True", reason: REASON.Enforced, message: GOOD[CONDITION.Ready] ?? "" };
  return waiting(
    "problem" in behind
      ? `webhook Pod "${behind.endpoint}" can't be asked what it enforces: ${behind.problem}`
      : `webhook Pod "${behind.endpoint}" has not loaded this generation yet`,
  );
}

/** The status of a policy (design D8), with policy-controller's conditions beside Ready. Pure. */
export function decidePolicyStatus(
  policy: ClusterImagePolicyObject,
  answers: readonly Answer<PoliciesPage>[],
  now: Date,
): NonNullable<ClusterImagePolicyObject["status"]> {
  const { status, reason, message } = standing(policy, answers);
  const observedGeneration = policy.metadata.generation;
  const updates = Object.entries(GOOD).map(
    ([type, good]): Update => ({ type, status, reason, message: status === "True" ? good : message }),
  );
  const known = (policy.status?.conditions ?? []) as readonly Condition[];
  const conditions = updates.reduce<readonly Condition[]>(
    (all, update) => setCondition(all, { ...update, observedGeneration }, now),
    known,
  );
  return { observedGeneration, conditions: conditions.map((condition) => ({ ...condition })) };
}
