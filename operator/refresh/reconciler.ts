import { isDeepStrictEqual } from "node:util";
import type { Clock } from "../../adapters/clock.ts";
import type { KubeClient } from "../../adapters/kube/types.ts";
import { isRegistryError } from "../../adapters/registry/errors.ts";
import type { Log } from "../../adapters/telemetry/log.ts";
import { parseMapping } from "../../core/cacherule/mapping.ts";
import { buildRoutes } from "../../core/cacherule/routes.ts";
import { conditionIsTrue, upstreamProblem } from "../../core/cacherule/servable.ts";
import { timestamp } from "../../core/conditions.ts";
import { DomainError } from "../../core/errors.ts";
import { type CachedStatus, cachedStatus, expiryOf, keyOf } from "../../core/refresh/held.ts";
import { type RefreshPlan, readRefresh } from "../../core/refresh/plan.ts";
import { untilNextLookMs, untilRetryMs } from "../../core/refresh/schedule.ts";
import { CACHE_RULES, type CacheRegistryObject, type CacheRuleObject, CONDITION } from "../../crds/index.ts";
import type { Events } from "../events.ts";
import type { Objects } from "../resources.ts";
import type { Reconcile, Result } from "../runtime/controller.ts";
import { type Doors, keptForMs, type RefreshErrorCode } from "./doors.ts";
import { FETCH_LIMITS, type FetchLimits, fetchAhead, type Haul } from "./fetch.ts";
import { LOOK_LIMITS, type LookLimits, look, type Scene, type Sight } from "./look.ts";
import { RefreshMemory, type Remembered } from "./memory.ts";
import type { RefreshMetrics } from "./metrics.ts";
import { failureText, noteFailing, noteFetched, noteLimited } from "./notes.ts";

/** The field manager of `status.cached`: what the reconciler of rules applies does not touch it, nor this the rest. */
export const REFRESH_FIELD_MANAGER = "entrepot-refresh";

/** What the reconciler of `spec.refresh` works with. */
export interface RefreshDependencies {
  readonly client: Pick<KubeClient, "applyStatus">;
  readonly rules: Objects<CacheRuleObject>;
  readonly registries: Pick<Objects<CacheRegistryObject>, "get">;
  readonly doors: Doors;
  readonly metrics: RefreshMetrics;
  readonly events: Events;
  readonly clock: Clock;
  readonly log: Log;
  /** For tests; the defaults are documented in docs/refresh.md. */
  readonly limits?: Partial<LookLimits & FetchLimits>;
}

interface Pass extends Haul {
  readonly notices: readonly string[];
  /** Milliseconds until the first followed tag expires in the cache. */
  readonly expiresInMs: number;
}

const LEAST_MS = 60_000; // between two looks, when the registry's ttl is shorter than the interval

/** Why a rule is not looked at although it is served: what the cache lists then is what it has, and not what there is. */
function trouble(rule: CacheRuleObject): DomainError | undefined {
  const problem = upstreamProblem(rule);
  return problem === undefined ? undefined : new DomainError<RefreshErrorCode>("REFRESH_UPSTREAM", problem);
}

async function sceneOf(
  rule: CacheRuleObject,
  registry: CacheRegistryObject,
  plan: RefreshPlan,
  known: Remembered,
  { doors, rules, limits }: RefreshDependencies,
  signal: AbortSignal,
): Promise<Scene> {
  const mapping = parseMapping(rule.spec);
  const routes = mapping.target.wildcard ? buildRoutes(rules.list(), registry.metadata.name) : undefined;
  return {
    mapping,
    plan,
    held: [...known.held.values()],
    cache: await doors.cache(registry, signal),
    upstream: doors.upstream(registry, mapping.source.host),
    owns: (repository) => routes === undefined || routes.match(repository)?.route.rule === rule.metadata.name,
    limits: { ...LOOK_LIMITS, ...limits },
  };
}

/** Takes out of `held` what is not followed any more and gone from the cache; how long a cache keeps such a thing only some tell. */
function drop({ wanted, seen }: Sight, known: Remembered, keptMs: number | undefined, now: Date): void {
  const followed = new Set(wanted.map(keyOf));
  for (const [key, one] of known.held) {
    if (followed.has(key) || !seen.has(one.repository)) continue;
    if (keptMs === undefined || expiryOf(one, keptMs) <= now.getTime()) known.held.delete(key);
  }
}

function firstExpiryMs({ wanted }: Sight, known: Remembered, keptMs: number, now: Date): number {
  const held = wanted.flatMap((one) => known.held.get(keyOf(one)) ?? []);
  return held.reduce((least, one) => Math.min(least, expiryOf(one, keptMs) - now.getTime()), Number.POSITIVE_INFINITY);
}

async function pass(
  rule: CacheRuleObject,
  registry: CacheRegistryObject,
  plan: RefreshPlan,
  known: Remembered,
  dependencies: RefreshDependencies,
  signal: AbortSignal,
): Promise<Pass> {
  const { clock, metrics } = dependencies;
  const limits = { ...FETCH_LIMITS, ...dependencies.limits };
  const scene = await sceneOf(rule, registry, plan, known, dependencies, signal);
  const sight = await look(scene, signal);
  const kept = keptForMs(registry);
  const keptMs = kept ?? Number.POSITIVE_INFINITY;
  const haul = await fetchAhead(scene, sight, known.held, keptMs, { clock, metrics, limits }, signal);
  drop(sight, known, kept, clock.now());
  return {
    ...haul,
    failures: [...sight.failures, ...haul.failures],
    notices: sight.notices,
    expiresInMs: firstExpiryMs(sight, known, keptMs, clock.now()),
  };
}

/** When to look again after a pass, or a failure to begin one. */
function schedule(
  rule: CacheRuleObject,
  plan: RefreshPlan,
  known: Remembered,
  failures: readonly unknown[],
  after: Partial<Pass>,
): number {
  const { uid } = rule.metadata;
  if (failures.length > 0) {
    known.failures += 1;
    const asked = failures.map((one) => (isRegistryError(one) ? (one.retryAfterMs ?? 0) : 0));
    return untilRetryMs(uid, plan.intervalMs, known.failures, Math.max(...asked));
  }
  known.failures = 0;
  if (after.more === true) return 1; // no sooner, and not later either: a pass is bounded, what there is to do is not
  const next = untilNextLookMs(uid, plan.intervalMs);
  return Math.min(next, Math.max(LEAST_MS, (after.expiresInMs ?? Number.POSITIVE_INFINITY) + 1_000));
}

/**
 * Reconciles `spec.refresh` of CacheRules: looks for new tags at an interval and pulls them through the cache, so that they are there
 * before anyone needs them. Keyed by rule; it may be called at any time, and does nothing before a look is due. It writes
 * `status.cached` alone, and only when what is held has changed. Give its controller a deadline of some 45 minutes: a pass begins no
 * pull after five, and a pull may take thirty.
 */
export function refreshReconciler(dependencies: RefreshDependencies): Reconcile {
  const { client, clock, events, log, metrics, rules, registries } = dependencies;
  const memory = new RefreshMemory(clock);

  const write = async (
    rule: CacheRuleObject,
    cached: CachedStatus | undefined,
    signal: AbortSignal,
  ): Promise<boolean> => {
    if (isDeepStrictEqual(rule.status?.cached, cached)) return false;
    const { apiVersion, kind } = rule;
    const { name, uid } = rule.metadata;
    const status = cached === undefined ? {} : { cached };
    const options = { signal, fieldManager: REFRESH_FIELD_MANAGER };
    await client.applyStatus(CACHE_RULES, { apiVersion, kind, metadata: { name, uid }, status }, options);
    return true;
  };

  /** Writes what is held. A pass may take minutes: a namesake that was made meanwhile is another rule. */
  const publish = async (rule: CacheRuleObject, known: Remembered, isWell: boolean, signal: AbortSignal) => {
    const live = rules.get(rule.metadata.name);
    // A rule that has never been looked at with success has nothing to say of its cache.
    if (live?.metadata.uid !== rule.metadata.uid || (!isWell && known.held.size === 0)) return false;
    const cached = cachedStatus([...known.held.values()], live.status?.cached, timestamp(clock.now()));
    return await write(live, cached, signal);
  };

  const failed = (rule: CacheRuleObject, known: Remembered, failures: readonly unknown[]): void => {
    for (const one of failures) {
      const domain: DomainError | undefined = one instanceof DomainError ? one : undefined;
      metrics.failures.inc({ code: domain?.code ?? "UNEXPECTED" });
    }
    const why = failureText(failures[0]);
    noteFailing(events, rule, known.failures, why);
    log.warn("refreshing failed", { rule: rule.metadata.name, failures: known.failures, error: why });
  };

  const begin = async (
    rule: CacheRuleObject,
    plan: RefreshPlan,
    known: Remembered,
    signal: AbortSignal,
  ): Promise<Pass> => {
    const problem = trouble(rule);
    known.blocked = problem !== undefined;
    const { name } = rule.spec.registryRef;
    const registry = registries.get(name);
    const nothing = { fetched: [], more: false, notices: [], expiresInMs: Number.POSITIVE_INFINITY };
    if (problem !== undefined) return { ...nothing, failures: [problem] };
    if (registry === undefined)
      return {
        ...nothing,
        failures: [new DomainError<RefreshErrorCode>("REFRESH_FAILED", `CacheRegistry "${name}" does not exist`)],
      };
    try {
      return await pass(rule, registry, plan, known, dependencies, signal);
    } catch (thrown) {
      signal.throwIfAborted();
      if (!(thrown instanceof DomainError)) throw thrown; // a bug: its stack belongs in the log
      return { ...nothing, failures: [thrown] };
    }
  };

  const refresh = async (
    rule: CacheRuleObject,
    plan: RefreshPlan,
    known: Remembered,
    signal: AbortSignal,
  ): Promise<Result> => {
    const done = await begin(rule, plan, known, signal);
    const { fetched, failures, notices } = done;
    noteFetched(events, rule, fetched);
    const said = notices.join("; ");
    if (said !== "" && said !== known.said) noteLimited(events, rule, said);
    known.said = said;
    const wrote = await publish(rule, known, failures.length === 0, signal);
    // Only now: should the write fail, the next attempt looks again, finds nothing to fetch, and writes.
    const wait = schedule(rule, plan, known, failures, done);
    known.dueAtMs = clock.monotonicMs() + wait;
    if (failures.length > 0) failed(rule, known, failures);
    metrics.looks.inc({ outcome: failures.length > 0 ? "failed" : wrote ? "changed" : "unchanged" });
    if (fetched.length > 0) log.info("fetched ahead", { rule: rule.metadata.name, tags: fetched.length });
    return { requeueAfterMs: wait };
  };

  return async (key, signal) => {
    const rule = rules.get(key);
    const read = rule === undefined ? undefined : readRefresh(rule.spec);
    if (rule === undefined || rule.metadata.deletionTimestamp !== undefined || read?.kind !== "plan") {
      memory.forget(key);
      if (rule !== undefined && read?.kind === "none") await write(rule, undefined, signal);
      return {};
    }
    // Until the rule is served there is nothing to pull through; a change of its status brings it here again.
    if (rule.spec.suspend === true || !conditionIsTrue(rule, CONDITION.Ready)) return {};
    const known = memory.of(rule, read.plan);
    if (known.blocked && trouble(rule) === undefined) known.dueAtMs = clock.monotonicMs();
    const wait = known.dueAtMs - clock.monotonicMs();
    return wait > 0 ? { requeueAfterMs: wait } : await refresh(rule, read.plan, known, signal);
  };
}
