import { type CacheRuleView, conditionIsTrue } from "../cacherule/servable.ts";
import type { Condition, ConditionUpdate } from "../conditions.ts";
import type { RewriteMode } from "../webhookconfig/rewriting.ts";

/** What a look at the host that nodes pull from found; `why`, in words for the user, ends without a full stop. */
export type Probe = { readonly reached: true } | { readonly reached: false; readonly why: string };

/** The parts of a CacheRule that say whether Pods may be given its names. */
export interface RewritingRule extends CacheRuleView {
  readonly spec: CacheRuleView["spec"] & { readonly rewrite?: "Pods" | "Never" };
}

/** Whether Pods may be given names of the rule, as soon as it is Ready. */
export function mayRewrite(rule: RewritingRule): boolean {
  return rule.spec.rewrite !== "Never" && conditionIsTrue(rule, "Accepted");
}

/**
 * Whether it matters if nodes reach a registry. Of the one in the cluster the rules say it themselves: the gateways are known one by one.
 */
export function isWatched(
  registry: { readonly metadata: { readonly name: string }; readonly spec: { readonly inCluster?: object } },
  rules: readonly RewritingRule[],
  mode: RewriteMode,
): boolean {
  if (mode === "off" || registry.spec.inCluster !== undefined) return false;
  return rules.some((rule) => rule.spec.registryRef.name === registry.metadata.name && mayRewrite(rule));
}

/** Whether the status of an answer to `GET /v2/` is one of a registry's (OCI distribution specification, "Determining support"). */
export function judgeAnswer(status: number): Probe {
  // 429 is a registry's too, if of one that has enough of us.
  if ([200, 401, 403, 429].includes(status)) return { reached: true };
  const why = `it answers /v2/ with HTTP status ${status}`;
  return { reached: false, why: status < 500 ? `${why}, which is no registry's answer` : why };
}

/**
 * The condition `Reachable` after the latest probes, newest first; undefined: as it was. One failure is no news, and neither are failures
 * for changing reasons once it is False; one answer is.
 */
export function decideReachable(
  host: string,
  before: Condition | undefined,
  [latest, last]: readonly Probe[],
): Omit<ConditionUpdate, "observedGeneration"> | undefined {
  if (latest === undefined) return undefined;
  const type = "Reachable";
  if (latest.reached) return { type, status: "True", reason: "Reachable", message: `${host} answers` };
  if (last === undefined || last.reached) return undefined;
  if (before?.status === "False" && latest.why !== last.why) return undefined;
  const message = `${host}: ${latest.why}. Pods keep the upstream's names until it answers`;
  return { type, status: "False", reason: "Unreachable", message };
}
