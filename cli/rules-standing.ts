import { printable } from "../core/cache/view.ts";
import { type CacheRuleObject, CONDITION, type Condition, REASON } from "../crds/index.ts";

/**
 * How a rule is, for people: `ready`; `degraded`, served though not as it should be; `suspended`, as its spec wants it; `notReady`.
 */
export type RuleState = "ready" | "degraded" | "suspended" | "notReady";

/** One rule in few bytes: what is kept of it while thousands are read. */
export interface RuleRow {
  readonly name: string;
  readonly registry: string;
  readonly source: string;
  readonly target: string;
  /** What to write in an image reference; absent until the rule was accepted. */
  readonly pull?: string;
  readonly state: RuleState;
  /** Of the condition Ready, or what stands in its place. */
  readonly reason: string;
  readonly message: string;
  /** RFC 3339: since when it is (not) ready. */
  readonly since?: string;
  readonly adopted: boolean;
  /** Whether the registry's product differs from what is declared, now. */
  readonly drifted: boolean;
  /** When that was last found, corrected since or not. */
  readonly drift?: { readonly detected?: string; readonly fields: readonly string[] };
  readonly remoteId?: string;
  readonly lastSync?: string;
}

const MESSAGE_LIMIT = 2_000; // characters kept of a message, of the 32,768 that the API allows

interface Standing extends Pick<RuleRow, "state" | "reason" | "message"> {
  readonly since?: string;
}

function conditionOf(rule: CacheRuleObject, type: string): Condition | undefined {
  return rule.status?.conditions?.find((condition) => condition.type === type);
}

function unseen(rule: CacheRuleObject): Standing | undefined {
  const { generation, deletionTimestamp, creationTimestamp } = rule.metadata;
  const ready = conditionOf(rule, CONDITION.Ready);
  if (deletionTimestamp !== undefined)
    return {
      state: "notReady",
      reason: REASON.Deleting,
      message: ready?.reason === REASON.Deleting ? ready.message : "it is being deleted",
      since: deletionTimestamp,
    };
  if (ready === undefined)
    return {
      state: "notReady",
      reason: "NotSeen",
      message: "the operator has not looked at the rule yet; if this stays, see whether the operator runs",
      since: creationTimestamp,
    };
  const seen = ready.observedGeneration ?? rule.status?.observedGeneration;
  if (seen === undefined || seen >= generation) return undefined;
  return {
    state: "notReady",
    reason: "ChangeNotSeen",
    message: `the operator has not looked at the last change yet (generation ${generation}, it knows ${seen}); if this stays, see whether it runs`,
  };
}

/** How a rule is. A status that speaks of an older generation counts for nothing: what it says of may be gone. */
export function standingOf(rule: CacheRuleObject): Standing {
  const old = unseen(rule);
  if (old !== undefined) return old;
  const ready = conditionOf(rule, CONDITION.Ready);
  const { reason = "", message = "", lastTransitionTime: since } = ready ?? {};
  const said = { reason, message, ...(since !== undefined && { since }) };
  if (ready?.status !== "True")
    return { ...said, state: reason === REASON.Suspended && rule.spec.suspend === true ? "suspended" : "notReady" };
  if (reason !== REASON.Ready) return { ...said, state: "degraded" };
  const health = conditionOf(rule, CONDITION.CredentialsHealthy);
  if (health?.status !== "False") return { ...said, state: "ready" };
  return {
    state: "degraded",
    reason: REASON.CredentialsUnhealthy,
    message: health.message,
    since: health.lastTransitionTime,
  };
}

const DRIFTED: readonly string[] = [REASON.Drifted, REASON.ImmutableChange, REASON.DriftCorrected];

/** A rule as a row. What others may have written is made harmless for terminals. */
export function rowOf(rule: CacheRuleObject): RuleRow {
  const { metadata, spec, status } = rule;
  const { message, reason, ...standing } = standingOf(rule);
  const synced = conditionOf(rule, CONDITION.Synced);
  const { detected, fields = [] } = status?.drift ?? {};
  const optional = { pull: status?.pullPrefix, remoteId: status?.remoteId, lastSync: status?.lastSyncTime };
  const known = Object.entries(optional).flatMap(([key, value]) => (value ? [[key, printable(value)] as const] : []));
  return {
    name: metadata.name,
    registry: printable(spec.registryRef.name),
    source: printable(spec.source),
    target: printable(spec.target),
    ...standing,
    reason: printable(reason),
    message: printable(message.slice(0, MESSAGE_LIMIT)),
    adopted: status?.adopted === true,
    drifted: DRIFTED.includes(synced?.reason ?? ""),
    ...(status?.drift && {
      drift: { fields: fields.map(printable), ...(detected !== undefined && { detected }) },
    }),
    ...Object.fromEntries(known),
  };
}
