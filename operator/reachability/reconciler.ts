import type { Clock } from "../../adapters/clock.ts";
import type { KubeClient } from "../../adapters/kube/types.ts";
import { type Condition, conditionsEqual, findCondition, setCondition } from "../../core/conditions.ts";
import { decideReachable, isWatched, type Probe } from "../../core/reachability/reachable.ts";
import type { RewriteMode } from "../../core/webhookconfig/rewriting.ts";
import { CACHE_REGISTRIES, type CacheRegistryObject, type CacheRuleObject, CONDITION } from "../../crds/index.ts";
import type { Events } from "../events.ts";
import type { Objects } from "../resources.ts";
import type { Reconcile, Result } from "../runtime/controller.ts";
import type { ProbeHost } from "./probe.ts";

/** The field manager of the condition `Reachable`: what the reconciler of registries applies does not touch it, nor this the rest. */
export const REACHABILITY_FIELD_MANAGER = "entrepot-reachability";

/** What the reconciler of the condition `Reachable` works with. */
export interface ReachabilityDependencies {
  readonly client: Pick<KubeClient, "applyStatus">;
  readonly registries: Pick<Objects<CacheRegistryObject>, "get">;
  readonly rules: Pick<Objects<CacheRuleObject>, "list">;
  readonly rewriteImages: () => RewriteMode;
  /** What stands before the target in names of this registry: a host, and a path where there is one. */
  readonly pullHost: (registry: CacheRegistryObject) => string;
  /** Certificates to trust for that host beside the system's. */
  readonly authority: (registry: CacheRegistryObject, signal: AbortSignal) => Promise<string | undefined>;
  readonly probe: ProbeHost;
  readonly intervalMs: number;
  readonly events: Events;
  readonly clock: Clock;
}

/** What is known of one host. */
interface Watch {
  /** What it is known of: another object, or another host, begins anew. */
  readonly of: string;
  /** The latest two, newest first. */
  probes: readonly Probe[];
  /** When the next is due, by the monotonic clock. */
  dueAtMs: number;
}

function reachable(registry: CacheRegistryObject): Condition | undefined {
  return findCondition(registry.status?.conditions as readonly Condition[] | undefined, CONDITION.Reachable);
}

/** Applies the condition alone, or takes it away, if that changes anything; says whether it did. */
async function write(
  client: ReachabilityDependencies["client"],
  registry: CacheRegistryObject,
  conditions: readonly Condition[],
  signal: AbortSignal,
): Promise<boolean> {
  const before = reachable(registry);
  if (conditionsEqual(before === undefined ? [] : [before], conditions)) return false;
  const { apiVersion, kind } = registry;
  const { name, uid } = registry.metadata;
  const status = conditions.length === 0 ? {} : { conditions };
  const options = { signal, fieldManager: REACHABILITY_FIELD_MANAGER };
  await client.applyStatus(CACHE_REGISTRIES, { apiVersion, kind, metadata: { name, uid }, status }, options);
  return true;
}

function note(events: Events, registry: CacheRegistryObject, before: Condition | undefined, after: Condition): void {
  // That a host answers is news only when it did not.
  if (before?.status === after.status || (before === undefined && after.status === "True")) return;
  const type = after.status === "True" ? "Normal" : "Warning";
  events.record({ regarding: registry, type, reason: after.reason, action: "Probe", note: after.message });
}

/**
 * Keeps the condition `Reachable` of the CacheRegistries that Pods are sent to: whether the host that nodes pull from answers. So that no
 * admission has to ask. Keyed by registry; it may be called at any time, and asks no host before that is due. Where nothing is rewritten
 * there is no condition. A status is written only when what it says changes.
 */
export function reachabilityReconciler(dependencies: ReachabilityDependencies): Reconcile {
  const { client, registries, rules, events, clock, intervalMs } = dependencies;
  const watches = new Map<string, Watch>();

  const watchOf = (key: string, of: string): Watch => {
    const known = watches.get(key);
    if (known?.of === of) return known;
    const watch: Watch = { of, probes: [], dueAtMs: clock.monotonicMs() };
    watches.set(key, watch);
    return watch;
  };

  const publish = async (registry: CacheRegistryObject, host: string, watch: Watch, signal: AbortSignal) => {
    const before = reachable(registry);
    const decided = decideReachable(host, before, watch.probes);
    if (decided === undefined) return;
    const update = { ...decided, observedGeneration: registry.metadata.generation };
    const after = setCondition(before === undefined ? [] : [before], update, clock.now());
    if (await write(client, registry, after, signal)) for (const one of after) note(events, registry, before, one);
  };

  const look = async (
    registry: CacheRegistryObject,
    host: string,
    watch: Watch,
    signal: AbortSignal,
  ): Promise<Result> => {
    const authority = await dependencies.authority(registry, signal);
    const found = await dependencies.probe(host, authority, signal);
    watch.probes = [found, ...watch.probes].slice(0, 2);
    const { name, uid } = registry.metadata;
    const live = registries.get(name);
    const isStillWatched = live && isWatched(live, rules.list(), dependencies.rewriteImages());
    if (isStillWatched && live.metadata.uid === uid) await publish(live, host, watch, signal);
    watch.dueAtMs = clock.monotonicMs() + intervalMs;
    return { requeueAfterMs: intervalMs };
  };

  return async (key, signal) => {
    const registry = registries.get(key);
    if (registry === undefined || !isWatched(registry, rules.list(), dependencies.rewriteImages())) {
      watches.delete(key);
      if (registry !== undefined) await write(client, registry, [], signal);
      return {};
    }
    const [host = ""] = dependencies.pullHost(registry).split("/");
    const watch = watchOf(key, `${registry.metadata.uid} ${host}`);
    const wait = watch.dueAtMs - clock.monotonicMs();
    return wait > 0 ? { requeueAfterMs: wait } : await look(registry, host, watch, signal);
  };
}
