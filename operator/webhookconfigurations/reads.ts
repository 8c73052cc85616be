import type { KubeObject } from "../../adapters/kube/types.ts";
import { type Condition, findCondition } from "../../core/conditions.ts";
import { UPDATES_NAME, type WebhookConfiguration } from "../../core/webhookconfig/desired.ts";
import { passedReads } from "../../core/webhookconfig/match.ts";
import {
  covers,
  joinReads,
  type PolicyReads,
  READS_EVERYTHING,
  READS_NOTHING,
  readsOf,
} from "../../core/webhookconfig/reads.ts";
import { type ClusterImagePolicyObject, CONDITION } from "../../crds/index.ts";

const KINDS: readonly WebhookConfiguration["kind"][] = [
  "MutatingWebhookConfiguration",
  "ValidatingWebhookConfiguration",
];

/** What each of the two live configurations for UPDATE lets through; undefined for one that is missing or none of ours. */
function passedByEach(configurations: readonly KubeObject[]): readonly (PolicyReads | undefined)[] {
  return KINDS.map((wanted) => {
    const live = configurations.find(({ kind, metadata }) => kind === wanted && metadata.name === UPDATES_NAME);
    return live && passedReads(live);
  });
}

/** Whether every webhook replica has this generation of a policy, by its status: until then one may enforce an earlier one (design D7). */
function isSettled({ metadata, status }: ClusterImagePolicyObject): boolean {
  const conditions = (status?.conditions ?? []) as readonly Condition[];
  const loaded = findCondition(conditions, CONDITION.ConfigMapUpdated);
  return loaded?.status === "True" && loaded.observedGeneration === metadata.generation;
}

/**
 * What the live configurations have to let through: all that stored policies read, and, while one of them may still be enforced in an
 * earlier form, no less than they let through now. A new operator narrows nothing by that: what was in force stands in the API server.
 */
export function wantedReads(
  policies: readonly ClusterImagePolicyObject[],
  configurations: readonly KubeObject[],
): PolicyReads {
  const stored = policies.map(readsOf);
  if (policies.every(isSettled)) return joinReads(stored);
  return joinReads([...stored, ...passedByEach(configurations).map((passed) => passed ?? READS_EVERYTHING)]);
}

/** Whether the live configurations let the UPDATEs through that a policy judges. */
export function letThrough(policy: ClusterImagePolicyObject, configurations: readonly KubeObject[]): boolean {
  const wanted = readsOf(policy);
  if (covers(READS_NOTHING, wanted)) return true;
  return passedByEach(configurations).every((passed) => passed !== undefined && covers(passed, wanted));
}
