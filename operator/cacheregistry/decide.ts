import { type Condition, type ConditionUpdate, setCondition } from "../../core/conditions.ts";
import { type CacheRegistryObject, CONDITION, type Provider, REASON, type UpstreamStatus } from "../../crds/index.ts";
import type { CredentialsHealth, Progress } from "../providers/provider.ts";

/** Everything that a registry's status is decided from. */
export interface RegistryFacts {
  readonly registry: CacheRegistryObject;
  readonly provider?: Provider;
  readonly ready: Progress;
  readonly rules: { readonly total: number; readonly limit?: number };
  /** Absent where nothing was looked at: what was known stays. */
  readonly upstreams?: readonly UpstreamStatus[];
  readonly credentials?: CredentialsHealth;
}

function readiness({ registry, ready }: RegistryFacts): Omit<ConditionUpdate, "observedGeneration"> {
  const type = CONDITION.Ready;
  if (!ready.done) return { type, status: "False", reason: ready.reason, message: ready.message };
  const message =
    registry.spec.inCluster === undefined
      ? "the registry takes rules"
      : "the gateway and the proxies of all upstreams that rules use are running";
  return { type, status: "True", reason: REASON.Ready, message };
}

function credentialsHealth({ status, message }: CredentialsHealth): Omit<ConditionUpdate, "observedGeneration"> {
  const reasons = { True: REASON.Healthy, False: REASON.Unhealthy, Unknown: REASON.Unknown } as const;
  return { type: CONDITION.CredentialsHealthy, status, reason: reasons[status], message };
}

/** The status of a registry, from what was found. Pure; equal facts give an equal status whatever the time. */
export function decideRegistryStatus(facts: RegistryFacts, now: Date): NonNullable<CacheRegistryObject["status"]> {
  const { registry, provider, rules, credentials } = facts;
  const { generation } = registry.metadata;
  const known = (registry.status?.conditions ?? []) as readonly Condition[];
  // Where nothing was looked at, what was known of the credentials stays.
  const kept =
    facts.upstreams === undefined || credentials !== undefined
      ? known
      : known.filter(({ type }) => type !== CONDITION.CredentialsHealthy);
  const updates = [readiness(facts), ...(credentials ? [credentialsHealth(credentials)] : [])];
  const conditions = updates.reduce<readonly Condition[]>(
    (all, one) => setCondition(all, { ...one, observedGeneration: generation }, now),
    kept,
  );
  const upstreams = facts.upstreams ?? registry.status?.upstreams ?? [];
  return {
    observedGeneration: generation,
    ...(provider !== undefined && { provider }),
    conditions: conditions.map((condition) => ({ ...condition })),
    rules: { ...rules },
    upstreams: [...upstreams].sort((a, b) => (a.host < b.host ? -1 : 1)),
  };
}
