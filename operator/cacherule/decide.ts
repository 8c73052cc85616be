import { shownHost } from "../../core/cacheregistry/upstream.ts";
import type { RuleMapping } from "../../core/cacherule/mapping.ts";
import { formatTarget } from "../../core/cacherule/pattern.ts";
import { type Condition, type ConditionUpdate, findCondition, setCondition, timestamp } from "../../core/conditions.ts";
import {
  type CacheRuleObject,
  CONDITION,
  type ConditionType,
  type Provider,
  REASON,
  type Reason,
} from "../../crds/index.ts";
import type { RuleObservation } from "../providers/provider.ts";
import type { UpstreamHealth } from "../providers/upstream-probe.ts";
import type { RuleVerdict } from "./acceptance.ts";

/** What is known of the upstream of an accepted rule. */
export type UpstreamState =
  | { readonly kind: "probed"; readonly anonymous: boolean; readonly health: UpstreamHealth }
  | { readonly kind: "problem"; readonly reason: Reason; readonly message: string };

/** Everything that a rule's status is decided from. */
export interface RuleFacts {
  readonly rule: CacheRuleObject;
  readonly verdict: RuleVerdict;
  readonly provider?: Provider;
  readonly pullHost?: string;
  /** Known for accepted rules that are not suspended. */
  readonly observation?: RuleObservation;
  readonly upstream?: UpstreamState;
}

type Update = Omit<ConditionUpdate, "observedGeneration">;

function update(type: ConditionType, status: Condition["status"], reason: Reason, message: string): Update {
  return { type, status, reason, message };
}

function before(rule: CacheRuleObject, type: ConditionType): Condition | undefined {
  return findCondition(rule.status?.conditions as readonly Condition[] | undefined, type);
}

/** Whether the upstream has ever answered since the rule was created: remembered in the reason of the condition when it no longer does. */
function wasReached(rule: CacheRuleObject): boolean {
  const known = before(rule, CONDITION.UpstreamReachable);
  return known?.status === "True" || known?.reason === REASON.ServingFromCache;
}

function accepted(verdict: RuleVerdict): Update {
  return verdict.accepted
    ? update(CONDITION.Accepted, "True", REASON.Accepted, "the rule can be served as it is written")
    : update(CONDITION.Accepted, "False", verdict.reason, verdict.message);
}

function synced(rule: CacheRuleObject, observation: RuleObservation): Update {
  const { rolledOut, remote } = observation;
  if (rolledOut.done)
    return update(CONDITION.Synced, "True", REASON.InSync, "everything that serves the rule is rolled out");
  // A rule that is served stays synced while its Pods are replaced: a newcomer must not take its target in that moment.
  const settled = remote === "identical" && before(rule, CONDITION.Synced)?.status === "True";
  return update(CONDITION.Synced, settled ? "True" : "False", rolledOut.reason, rolledOut.message);
}

function reachable(rule: CacheRuleObject, host: string, health: UpstreamHealth): Update {
  if (health.kind !== "unreachable")
    return update(CONDITION.UpstreamReachable, "True", REASON.Reachable, "the upstream answers");
  const reason = wasReached(rule) ? REASON.ServingFromCache : REASON.UpstreamUnreachable;
  return update(CONDITION.UpstreamReachable, "False", reason, `upstream ${host}: ${health.message}`);
}

function credentials(host: string, upstream: UpstreamState): Update | undefined {
  if (upstream.kind === "problem")
    return update(CONDITION.CredentialsHealthy, "False", upstream.reason, upstream.message);
  if (upstream.anonymous) return undefined;
  const { health } = upstream;
  switch (health.kind) {
    case "refused":
      return update(CONDITION.CredentialsHealthy, "False", REASON.Unhealthy, `upstream ${host}: ${health.message}`);
    case "unreachable":
      return update(CONDITION.CredentialsHealthy, "Unknown", REASON.Unknown, "the upstream can't be asked");
    case "reachable":
      return health.credentials === "accepted"
        ? update(CONDITION.CredentialsHealthy, "True", REASON.Healthy, "the upstream takes the credentials")
        : update(
            CONDITION.CredentialsHealthy,
            "Unknown",
            REASON.Unknown,
            "the upstream has not asked for the credentials",
          );
  }
}

function ready(facts: RuleFacts, sourceName: string, pullPrefix: string): Update {
  const { rule, verdict, observation, upstream } = facts;
  const no = (reason: Reason, message: string) => update(CONDITION.Ready, "False", reason, message);
  if (rule.spec.suspend === true)
    return no(REASON.Suspended, "spec.suspend is true: the rule is not served; set it to false to serve it");
  if (!verdict.accepted) return no(verdict.reason, verdict.message);
  if (upstream === undefined || observation === undefined) return no(REASON.Progressing, "the rule is being looked at");
  if (upstream.kind === "problem") return no(upstream.reason, upstream.message);
  const { health } = upstream;
  const host = shownHost(verdict.mapping.source.host);
  if (health.kind === "refused") return no(REASON.CredentialsUnhealthy, `upstream ${host}: ${health.message}`);
  const down = health.kind === "unreachable" ? `upstream ${host}: ${health.message}` : undefined;
  if (down !== undefined && !wasReached(rule)) return no(REASON.UpstreamUnreachable, down);
  if (observation.remote === "foreign")
    return no(REASON.ForeignRule, "the registry has a rule of this name that Entrepot did not make");
  if (!observation.serving.done) return no(observation.serving.reason, observation.serving.message);
  return down === undefined
    ? update(CONDITION.Ready, "True", REASON.Ready, `write ${pullPrefix} in place of ${sourceName}`)
    : update(
        CONDITION.Ready,
        "True",
        REASON.ServingFromCache,
        `what is cached is served, nothing new can be fetched; ${down}`,
      );
}

function names(
  mapping: RuleMapping,
  pullHost: string,
): { pullPrefix: string; from: string; to: string; source: string } {
  const { source, target } = mapping;
  const join = (...parts: readonly string[]) => parts.filter((part) => part !== "").join("/");
  const host = shownHost(source.host);
  return {
    pullPrefix: join(pullHost, target.path),
    source: join(host, source.path),
    from: join(host, source.path, source.wildcard ? "*" : ""),
    to: join(pullHost, formatTarget(target)),
  };
}

function conditionsOf(facts: RuleFacts, updates: readonly (Update | undefined)[], now: Date): readonly Condition[] {
  const { generation } = facts.rule.metadata;
  const known = (facts.rule.status?.conditions ?? []) as readonly Condition[];
  const wanted = updates.filter((one) => one !== undefined);
  const merged = wanted.reduce<readonly Condition[]>(
    (all, one) => setCondition(all, { ...one, observedGeneration: generation }, now),
    known,
  );
  // A suspended rule is not looked at: what was known of it stays, with the generation that it was known of.
  return facts.rule.spec.suspend === true
    ? merged
    : merged.filter(({ type }) => wanted.some((one) => one.type === type));
}

/** The status that a rule should have, from what was found. Pure; equal facts give an equal status whatever the time. */
export function decideRuleStatus(facts: RuleFacts, now: Date): NonNullable<CacheRuleObject["status"]> {
  const { rule, verdict, observation, upstream, provider, pullHost } = facts;
  const named = verdict.accepted && pullHost !== undefined ? names(verdict.mapping, pullHost) : undefined;
  const host = verdict.accepted ? shownHost(verdict.mapping.source.host) : "";
  const updates = [
    accepted(verdict),
    observation && synced(rule, observation),
    upstream?.kind === "probed" ? reachable(rule, host, upstream.health) : undefined,
    upstream && credentials(host, upstream),
    ready(facts, named?.source ?? rule.spec.source, named?.pullPrefix ?? ""),
  ];
  const conditions = conditionsOf(facts, updates, now);
  const wasSynced = before(rule, CONDITION.Synced);
  const isSynced = findCondition(conditions, CONDITION.Synced)?.status === "True";
  const fresh = isSynced && (wasSynced?.status !== "True" || wasSynced.observedGeneration !== rule.metadata.generation);
  const lastSyncTime = fresh ? timestamp(now) : rule.status?.lastSyncTime;
  return {
    observedGeneration: rule.metadata.generation,
    ...(provider !== undefined && { provider }),
    ...(named && { pullPrefix: named.pullPrefix, mapping: { from: named.from, to: named.to } }),
    conditions: conditions.map((condition) => ({ ...condition })),
    ...(lastSyncTime !== undefined && { lastSyncTime }),
    ...(!verdict.accepted && verdict.conflictsWith !== undefined && { conflictsWith: verdict.conflictsWith }),
  };
}

/** The status of a rule that is being deleted and still served: its last one, with Ready saying what is waited for. */
export function decideDeletingStatus(
  rule: CacheRuleObject,
  message: string,
  now: Date,
): NonNullable<CacheRuleObject["status"]> {
  const known = (rule.status?.conditions ?? []) as readonly Condition[];
  const change = {
    ...update(CONDITION.Ready, "False", REASON.Deleting, message),
    observedGeneration: rule.metadata.generation,
  };
  return { ...rule.status, conditions: setCondition(known, change, now).map((condition) => ({ ...condition })) };
}
