import { type Condition, type ConditionUpdate, setCondition } from "../../core/conditions.ts";
import { needsNothing, type PolicyNeeds } from "../../core/policy/needs.ts";
import type { Resolution } from "../../core/policy/resolved.ts";
import { type ClusterImagePolicyObject, CONDITION, REASON, type Reason } from "../../crds/index.ts";
import type { LoadedPolicy, PoliciesPage } from "../pages/documents.ts";
import type { Answer } from "../pages/poll.ts";
import { type Shortfall, shortfalls, together } from "./inlined.ts";

/** Everything that the status of a policy is decided from. */
export interface PolicyFacts {
  readonly policy: ClusterImagePolicyObject;
  /** What the webhook replicas say that they hold. */
  readonly answers: readonly Answer<PoliciesPage>[];
  readonly needs: PolicyNeeds;
  /** What was resolved, as the webhooks are given it. */
  readonly resolution: Resolution | undefined;
  /** The live webhook configurations let the UPDATEs through that the policy judges. */
  readonly isLetThrough: boolean;
  /** The system namespace, for messages. */
  readonly namespace: string;
}

type Standing = Pick<ConditionUpdate, "status" | "reason" | "message">;

interface Facts extends PolicyFacts {
  readonly short: readonly Shortfall[];
  /** The policy in its present generation, of every replica that has it. */
  readonly loaded: readonly LoadedPolicy[];
}

const GOOD = {
  keys: "the keys that the policy names are read",
  policies: "what the policy asks of images is read",
  configMap: "every webhook replica has the policy",
  ready: "every webhook replica enforces this generation",
} as const;

function no(reason: Reason, message: string): Standing {
  return { status: "False", reason, message };
}

function yes(message: string, reason: Reason = REASON.Enforced): Standing {
  return { status: "True", reason, message };
}

/** What the policy needs is being fetched for this generation: neither good nor bad yet. */
function resolving({ policy, needs, resolution }: Facts): Standing | undefined {
  if (needsNothing(needs) || resolution?.generation === policy.metadata.generation) return undefined;
  return no(
    REASON.UpdatingConfigMap,
    "what the policy needs from outside the cluster is being fetched; if this stays, see the log of Deployment operator",
  );
}

/** Which replica does not have this generation. */
function waiting({ policy, answers, namespace }: Facts): Standing | undefined {
  const { uid, generation } = policy.metadata;
  if (answers.length === 0) {
    return no(
      REASON.WaitingForWebhooks,
      `no Pod of Deployment "webhook" is ready; see kubectl -n ${namespace} describe deployment webhook`,
    );
  }
  const behind = answers.find((answer) => "problem" in answer || answer.page.get(uid)?.generation !== generation);
  if (behind === undefined) return undefined;
  return no(
    REASON.WaitingForWebhooks,
    "problem" in behind
      ? `webhook Pod "${behind.endpoint}" can't be asked what it enforces: ${behind.problem}`
      : `webhook Pod "${behind.endpoint}" has not loaded this generation yet`,
  );
}

/** Webhooks that enforce the policy are not asked about the UPDATEs that it judges. */
function unasked({ isLetThrough }: Facts): Standing | undefined {
  if (isLetThrough) return undefined;
  return no(
    REASON.WaitingForWebhooks,
    "the webhook configurations updates.policy.sigstore.dev do not yet let the UPDATEs through that this policy judges; if this stays, see the log of Deployment operator",
  );
}

function uncompiled({ loaded }: Facts): Standing | undefined {
  const problem = loaded.find((each) => each.problem !== undefined)?.problem;
  if (problem === undefined) return undefined;
  return no(REASON.CompileFailed, `${problem}; until it is put right, images that this policy matches are refused`);
}

function degraded({ loaded }: Facts): Standing | undefined {
  const why = loaded.find((each) => each.degraded !== undefined)?.degraded;
  return why === undefined ? undefined : no(REASON.InliningKeysFailed, why);
}

function missing({ short }: Facts): Standing | undefined {
  const found = short.filter(({ isMissing }) => isMissing);
  const [first] = found;
  return first === undefined ? undefined : no(first.reason, together(found));
}

function lastGood({ short }: Facts): Standing | undefined {
  return short.length === 0 ? undefined : yes(`${GOOD.ready}; ${together(short)}`, REASON.LastGood);
}

function ready(facts: Facts): Standing {
  const notYet =
    resolving(facts) ?? uncompiled(facts) ?? degraded(facts) ?? waiting(facts) ?? missing(facts) ?? unasked(facts);
  return notYet ?? lastGood(facts) ?? yes(GOOD.ready);
}

/** Replicas report one problem of a policy as a whole: whether it is of its keys or of its policies can't be told from that. */
function inlined(facts: Facts, condition: Shortfall["condition"], good: string): Standing {
  const found = facts.short.filter((each) => each.condition === condition);
  const [first] = found;
  if (first !== undefined) return no(first.reason, together(found));
  const unresolved = resolving(facts);
  if (unresolved !== undefined) return { ...unresolved, status: "Unknown" };
  const keys = condition === CONDITION.KeysInlined ? degraded(facts) : undefined;
  if (keys !== undefined) return keys;
  if (uncompiled(facts) !== undefined)
    return { status: "Unknown", reason: REASON.CompileFailed, message: "see the condition Ready" };
  const unheard = facts.loaded.length === 0 ? waiting(facts) : undefined;
  return unheard === undefined ? yes(good) : { ...unheard, status: "Unknown" };
}

/**
 * The status of a policy, with policy-controller's conditions beside Ready, each for itself. Ready: every live replica enforces this
 * generation (design D8) and is asked about all that it judges, be it with the last good value of something that could not be refreshed (D7). Pure.
 */
export function decidePolicyStatus(facts: PolicyFacts, now: Date): NonNullable<ClusterImagePolicyObject["status"]> {
  const { policy, answers, needs, resolution } = facts;
  const { uid, generation } = policy.metadata;
  const pages = answers.flatMap((answer) => ("page" in answer ? (answer.page.get(uid) ?? []) : []));
  const loaded = pages.filter((page) => page.generation === generation);
  const all: Facts = { ...facts, short: shortfalls(needs, resolution), loaded };
  const standings: Readonly<Record<string, Standing>> = {
    [CONDITION.KeysInlined]: inlined(all, CONDITION.KeysInlined, GOOD.keys),
    [CONDITION.PoliciesInlined]: inlined(all, CONDITION.PoliciesInlined, GOOD.policies),
    [CONDITION.ConfigMapUpdated]: resolving(all) ?? waiting(all) ?? yes(GOOD.configMap),
    [CONDITION.Ready]: ready(all),
  };
  const known = (policy.status?.conditions ?? []) as readonly Condition[];
  const conditions = Object.entries(standings).reduce(
    (before, [type, standing]) => setCondition(before, { type, ...standing, observedGeneration: generation }, now),
    known,
  );
  return { observedGeneration: generation, conditions: conditions.map((condition) => ({ ...condition })) };
}
