import { isDeepStrictEqual } from "node:util";
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
import type { UpstreamHealth } from "../incluster/upstream-probe.ts";
import type { Progress, RuleOutcome, UpstreamState } from "../providers/provider.ts";
import type { RuleVerdict } from "./acceptance.ts";

/** Everything that a rule's status is decided from. */
export interface RuleFacts {
  readonly rule: CacheRuleObject;
  readonly verdict: RuleVerdict;
  readonly provider?: Provider;
  readonly pullHost?: string;
  /** Known for accepted rules that are not suspended. */
  readonly outcome?: RuleOutcome;
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

/** What a rule that is served goes through without ceasing to be: a newcomer must not take its target in that moment. */
const PASSING: readonly Reason[] = [REASON.Updating, REASON.DriftCorrected];

function isSettled(rule: CacheRuleObject, synced: Progress): boolean {
  if (synced.done) return true;
  return PASSING.includes(synced.reason) && before(rule, CONDITION.Synced)?.status === "True";
}

function synced(rule: CacheRuleObject, { synced: progress }: RuleOutcome): Update {
  if (progress.done)
    return update(CONDITION.Synced, "True", REASON.InSync, "the registry has the rule as it is declared");
  return update(CONDITION.Synced, isSettled(rule, progress) ? "True" : "False", progress.reason, progress.message);
}

function reachable(rule: CacheRuleObject, host: string, health: UpstreamHealth): Update {
  if (health.kind !== "unreachable")
    return update(CONDITION.UpstreamReachable, "True", REASON.Reachable, "the upstream answers");
  const reason = wasReached(rule) ? REASON.ServingFromCache : REASON.UpstreamUnreachable;
  return update(CONDITION.UpstreamReachable, "False", reason, `upstream ${host}: ${health.message}`);
}

function credentials(host: string, { upstream, credentials: told }: RuleOutcome): Update | undefined {
  if (told !== undefined) {
    const reasons = { True: REASON.Healthy, False: REASON.Unhealthy, Unknown: REASON.Unknown } as const;
    return update(CONDITION.CredentialsHealthy, told.status, reasons[told.status], told.message);
  }
  return upstream && probedCredentials(host, upstream);
}

function probedCredentials(host: string, upstream: UpstreamState): Update | undefined {
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

/** Why nothing can be had from the upstream, if that is so. */
function upstreamTrouble(rule: CacheRuleObject, host: string, upstream: UpstreamState | undefined) {
  if (upstream === undefined) return undefined;
  if (upstream.kind === "problem") return { isFinal: true, reason: upstream.reason, message: upstream.message };
  const { health } = upstream;
  if (health.kind === "reachable") return undefined;
  const message = `upstream ${host}: ${health.message}`;
  if (health.kind === "refused") return { isFinal: true, reason: REASON.CredentialsUnhealthy, message };
  return { isFinal: !wasReached(rule), reason: REASON.UpstreamUnreachable, message };
}

/** Products that do not delete a rule with cached images unless told to delete both. */
const KEEPS_IMAGES: readonly (Provider | undefined)[] = ["artifactRegistry", "harbor"];

/** Registries that nodes ask without a gateway of ours between. */
const SERVES_BY_ITSELF: readonly (Provider | undefined)[] = ["zot", "distribution"];

function howToTakeAway({ rule, provider }: RuleFacts): string {
  const { deletionPolicy = "Delete" } = rule.spec;
  if (deletionPolicy === "Retain") return "delete it there to stop that (deletionPolicy is Retain)";
  return deletionPolicy === "Delete" && KEEPS_IMAGES.includes(provider)
    ? "delete the CacheRule to take it away (if it has cached images, with deletionPolicy: DeleteWithImages)"
    : "delete the CacheRule to take it away";
}

/** What suspension stops. A product knows nothing of it: nodes go on pulling through a rule that was made there. */
function suspended(facts: RuleFacts): string {
  const { remoteId, remoteCreationTime } = facts.rule.status ?? {};
  if (remoteId === undefined) {
    const what = SERVES_BY_ITSELF.includes(facts.provider)
      ? "the rule is out of the registry's configuration, but what is cached there may still be pulled"
      : "the rule is not served";
    return `spec.suspend is true: ${what}; set it to false to serve it`;
  }
  const isSeen = remoteCreationTime !== undefined || before(facts.rule, CONDITION.Synced)?.status === "True";
  const where = isSeen ? "stays in the registry and goes on serving pulls" : "may be in the registry and serve pulls";
  return `spec.suspend is true: Entrepot neither compares nor rewrites with this rule, but "${remoteId}" ${where}; ${howToTakeAway(facts)}, or set suspend to false`;
}

function ready(facts: RuleFacts, sourceName: string, pullPrefix: string): Update {
  const { rule, verdict, outcome } = facts;
  const no = (reason: Reason, message: string) => update(CONDITION.Ready, "False", reason, message);
  if (rule.spec.suspend === true) return no(REASON.Suspended, suspended(facts));
  if (!verdict.accepted) return no(verdict.reason, verdict.message);
  if (outcome === undefined) return no(REASON.Progressing, "the rule is being looked at");
  const trouble = upstreamTrouble(rule, shownHost(verdict.mapping.source.host), outcome.upstream);
  if (trouble?.isFinal === true) return no(trouble.reason, trouble.message);
  if (!outcome.serving.done) return no(outcome.serving.reason, outcome.serving.message);
  return trouble === undefined
    ? update(CONDITION.Ready, "True", REASON.Ready, `write ${pullPrefix} in place of ${sourceName}`)
    : update(
        CONDITION.Ready,
        "True",
        REASON.ServingFromCache,
        `what is cached is served, nothing new can be fetched; ${trouble.message}`,
      );
}

/** What is remembered of the rule in the product; as it was where nothing was looked at. */
function remote({ rule, outcome }: RuleFacts, now: Date): Partial<NonNullable<CacheRuleObject["status"]>> {
  const known = rule.status;
  if (outcome === undefined) {
    const { remoteId, remoteCreationTime, adopted: isAdopted, drift } = known ?? {};
    return {
      ...(remoteId !== undefined && { remoteId }),
      ...(remoteCreationTime !== undefined && { remoteCreationTime }),
      ...(isAdopted !== undefined && { adopted: isAdopted }),
      ...(drift !== undefined && { drift }),
    };
  }
  const fields = outcome.remote?.drift ?? [];
  const isKnown = isDeepStrictEqual(known?.drift?.fields, fields);
  const isNew = fields.length > 0 && !(isKnown && before(rule, CONDITION.Synced)?.status === "False");
  const drift = isNew ? { detected: timestamp(now), fields: [...fields] } : known?.drift;
  if (outcome.remote === undefined) return drift === undefined ? {} : { drift };
  const { remoteId, remoteCreationTime, adopted: isAdopted } = outcome.remote;
  return {
    remoteId,
    ...(remoteCreationTime !== undefined && { remoteCreationTime }),
    ...(isAdopted && { adopted: true }),
    ...(drift !== undefined && { drift }),
  };
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
  const { rule, verdict, outcome, provider, pullHost } = facts;
  const named = verdict.accepted && pullHost !== undefined ? names(verdict.mapping, pullHost) : undefined;
  const host = verdict.accepted ? shownHost(verdict.mapping.source.host) : "";
  const updates = [
    accepted(verdict),
    outcome && synced(rule, outcome),
    outcome?.upstream?.kind === "probed" ? reachable(rule, host, outcome.upstream.health) : undefined,
    outcome && credentials(host, outcome),
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
    ...remote(facts, now),
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
