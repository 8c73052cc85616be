import type { Clock } from "../../adapters/clock.ts";
import type { KubeClient } from "../../adapters/kube/types.ts";
import { ProductError } from "../../adapters/products/errors.ts";
import type { Log } from "../../adapters/telemetry/log.ts";
import type { Condition } from "../../core/conditions.ts";
import { shortlist } from "../../core/shortlist.ts";
import {
  CACHE_REGISTRIES,
  type CacheRegistryObject,
  type CacheRuleObject,
  CONDITION,
  REASON,
  type Reason,
} from "../../crds/index.ts";
import { type Plans, termsOf } from "../cacherule/plans.ts";
import { type Events, noteReadiness } from "../events.ts";
import { hold, isHeld, release } from "../finalizer.ts";
import { elderOf, providerFor } from "../providers/lookup.ts";
import { Patience } from "../providers/patience.ts";
import {
  type CacheProvider,
  type Pending,
  type Progress,
  type Providers,
  providerOf,
  type RegistryOutcome,
  unsupportedProvider,
} from "../providers/provider.ts";
import { driftMs, noteLeft, type RemoteIntervals } from "../providers/remote.ts";
import type { Objects } from "../resources.ts";
import type { Reconcile, Result } from "../runtime/controller.ts";
import { writeStatus } from "../status.ts";
import { decideRegistryStatus } from "./decide.ts";

/** What the reconciler of CacheRegistries works with. */
export interface CacheRegistryDependencies {
  readonly client: Pick<KubeClient, "applyStatus" | "mergePatch">;
  readonly registries: Objects<CacheRegistryObject>;
  readonly rules: Objects<CacheRuleObject>;
  readonly plans: Pick<Plans, "view">;
  readonly providers: Providers;
  readonly events: Events;
  readonly clock: Clock;
  readonly log: Log;
  readonly intervals: RegistryIntervals;
}

/** How long until a registry is looked at again although nothing changed. */
export interface RegistryIntervals extends RemoteIntervals {
  readonly pendingMs: number;
  readonly healthyMs: number;
}

/** What comes about without a word to us; of a Secret, a spec and Pods of ours we are told. */
const MOVING: readonly Reason[] = [
  REASON.GatewayNotReady,
  REASON.BackendNotReady,
  REASON.Creating,
  REASON.Updating,
  REASON.Deleting,
];

function isMoving(progress: Progress): boolean {
  return !progress.done && MOVING.includes(progress.reason);
}

function referring(registry: CacheRegistryObject, rules: readonly CacheRuleObject[]): readonly string[] {
  return rules
    .filter((rule) => rule.spec.registryRef.name === registry.metadata.name)
    .map((rule) => rule.metadata.name)
    .sort();
}

/** The condition `Reachable` is another controller's. */
function ownPart(registry: CacheRegistryObject): CacheRegistryObject {
  const conditions = registry.status?.conditions?.filter(({ type }) => type !== CONDITION.Reachable);
  return conditions === undefined ? registry : { ...registry, status: { ...registry.status, conditions } };
}

/** A product that wants to be left alone for so long is no news: pulls do not depend on its management API. */
const BRIEF_MS = 60_000;

interface Waits {
  readonly deletions: Patience;
  /** Registries whose product has wanted to be left alone since its last answer. */
  readonly throttled: Patience;
}

/** One pass over one registry. */
class Pass {
  readonly #registry: CacheRegistryObject;
  readonly #dependencies: CacheRegistryDependencies;
  readonly #waits: Waits;
  readonly #provider: CacheProvider | undefined;
  readonly #signal: AbortSignal;

  constructor(
    registry: CacheRegistryObject,
    dependencies: CacheRegistryDependencies,
    waits: Waits,
    signal: AbortSignal,
  ) {
    this.#registry = registry;
    this.#dependencies = dependencies;
    this.#waits = waits;
    this.#provider = providerFor(registry, dependencies.providers);
    this.#signal = signal;
  }

  async #publish(ready: Progress, found?: RegistryOutcome): Promise<void> {
    const { client, clock, events, rules } = this.#dependencies;
    const registry = this.#registry;
    const kind = providerOf(registry.spec);
    const { limit } = termsOf(registry, this.#provider);
    const facts = {
      registry,
      ready,
      rules: { total: referring(registry, rules.list()).length, ...(limit !== undefined && { limit }) },
      ...(kind && { provider: kind }),
      ...(found && { upstreams: found.upstreams }),
      ...(found?.credentials && { credentials: found.credentials }),
    };
    const status = decideRegistryStatus(facts, clock.now());
    const known = registry.status?.conditions as readonly Condition[] | undefined;
    if (await writeStatus(client, CACHE_REGISTRIES, registry, status, this.#signal)) {
      noteReadiness(events, registry, known, status.conditions as readonly Condition[]);
    }
  }

  /** Says that the registry is not ready, and leaves the rest of its status as it was. */
  async #refuse(reason: Reason, message: string): Promise<Result> {
    await this.#publish({ done: false, reason, message });
    return {};
  }

  async serve(): Promise<Result> {
    const { plans, intervals, registries } = this.#dependencies;
    const registry = this.#registry;
    const provider = this.#provider;
    if (provider === undefined)
      return await this.#refuse(REASON.UnsupportedProvider, unsupportedProvider(providerOf(registry.spec)));
    const first = elderOf(registry, registries.list(), provider)?.metadata.name;
    if (first !== undefined) {
      const message = `CacheRegistry "${first}" already has ${provider.identity(registry)}; give this one another`;
      return await this.#refuse(REASON.DuplicateRegistry, message);
    }
    const movingMs = provider.isRemote ? intervals.unhealthyMs : intervals.pendingMs;
    const restMs = provider.isRemote
      ? driftMs(registry, intervals)
      : Math.min(intervals.healthyMs, driftMs(registry, intervals));
    try {
      const found = await provider.prepare(registry, plans.view(registry), this.#signal);
      this.#waits.throttled.forget(registry.metadata.name);
      await this.#publish(found.ready, found);
      return { requeueAfterMs: isMoving(found.ready) ? movingMs : restMs };
    } catch (thrown) {
      if (!(thrown instanceof ProductError)) throw thrown;
      if (!this.#isBrief(thrown)) await this.#refuse(thrown.reason, thrown.message);
      if (thrown.terminal) return { requeueAfterMs: restMs };
      if (thrown.retryAfterMs !== undefined) return { requeueAfterMs: thrown.retryAfterMs };
      throw thrown;
    }
  }

  #isBrief({ code, retryAfterMs }: ProductError): boolean {
    const registry = this.#registry;
    if (code !== "PRODUCT_THROTTLED" || retryAfterMs === undefined || retryAfterMs >= BRIEF_MS) return false;
    const known = registry.status?.conditions?.find(({ type }) => type === CONDITION.Ready);
    return known?.observedGeneration === registry.metadata.generation && !this.#waits.throttled.isOver(registry);
  }

  /** Rules that are deleted with their registry may wait until its configuration is without them: says how that stands. */
  async #withoutDeleted(remaining: readonly string[]): Promise<Progress> {
    const { plans, registries, rules } = this.#dependencies;
    const registry = this.#registry;
    const provider = this.#provider;
    const isDeleted = (name: string) => rules.get(name)?.metadata.deletionTimestamp !== undefined;
    if (provider?.holdsRules !== true || !remaining.some(isDeleted)) return { done: true };
    if (elderOf(registry, registries.list(), provider) !== undefined) return { done: true };
    return (await provider.prepare(registry, plans.view(registry), this.#signal)).ready;
  }

  /** Whether what is not withdrawn yet is waited for no longer. What Kubernetes itself is deleting goes in the end. */
  #isLeft({ reason, message }: Pending): boolean {
    const isEndless = this.#provider?.isRemote !== true && reason === REASON.Deleting;
    return !isEndless && this.#waits.deletions.isOver(this.#registry, message);
  }

  async finish(): Promise<Result> {
    const { client, rules, intervals, events } = this.#dependencies;
    const registry = this.#registry;
    if (!isHeld(registry)) return {};
    const remaining = referring(registry, rules.list());
    if (remaining.length > 0) {
      const message = `deletion waits for CacheRules that name it: ${shortlist(remaining)}; delete them`;
      const progress = await this.#withoutDeleted(remaining);
      if (progress.done) return await this.#refuse(REASON.RulesRemain, message);
      await this.#refuse(REASON.RulesRemain, `${message}. Of those that are deleted: ${progress.message}`);
      return { requeueAfterMs: isMoving(progress) ? intervals.pendingMs : intervals.unhealthyMs };
    }
    try {
      const progress = await this.#provider?.withdraw(registry, this.#signal);
      if (progress?.done === false) {
        if (!this.#isLeft(progress)) {
          await this.#refuse(REASON.Deleting, progress.message);
          return { requeueAfterMs: isMoving(progress) ? intervals.pendingMs : intervals.unhealthyMs };
        }
        noteLeft(events, registry, progress.message);
      }
    } catch (thrown) {
      if (!(thrown instanceof ProductError)) throw thrown;
      if (!this.#waits.deletions.isOver(registry)) {
        await this.#refuse(REASON.Deleting, thrown.message);
        return { requeueAfterMs: thrown.retryAfterMs ?? intervals.unhealthyMs };
      }
      noteLeft(events, registry, thrown.message);
    }
    await release(client, CACHE_REGISTRIES, registry, this.#signal);
    return {};
  }
}

/**
 * Reconciles CacheRegistries: has what their rules share made in the registry's product, and says in status how it stands. A deleted
 * registry is let go when no rule names it and everything that was made for it is verified gone, or can't be reached any more.
 */
export function cacheRegistryReconciler(dependencies: CacheRegistryDependencies): Reconcile {
  const { clock, intervals } = dependencies;
  const waits = { deletions: new Patience(clock, intervals.patienceMs), throttled: new Patience(clock, BRIEF_MS) };
  return async (key, signal) => {
    const registry = dependencies.registries.get(key);
    if (registry === undefined) {
      waits.deletions.forget(key);
      waits.throttled.forget(key);
      return {};
    }
    const pass = new Pass(ownPart(registry), dependencies, waits, signal);
    if (registry.metadata.deletionTimestamp !== undefined) return await pass.finish();
    await hold(dependencies.client, CACHE_REGISTRIES, registry, signal);
    return await pass.serve();
  };
}
