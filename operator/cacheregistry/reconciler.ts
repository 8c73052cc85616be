import type { Clock } from "../../adapters/clock.ts";
import { isKubeError } from "../../adapters/kube/errors.ts";
import type { KubeClient } from "../../adapters/kube/types.ts";
import { parseDuration } from "../../core/admission/config.ts";
import type { Condition } from "../../core/conditions.ts";
import { normaliseHost } from "../../core/image/reference.ts";
import {
  CACHE_REGISTRIES,
  type CacheRegistryObject,
  type CacheRuleObject,
  REASON,
  type UpstreamStatus,
} from "../../crds/index.ts";
import type { Plans } from "../cacherule/plans.ts";
import { type Events, noteReadiness } from "../events.ts";
import { hold, isHeld, release } from "../finalizer.ts";
import { providerOf, unsupportedProvider } from "../providers/provider.ts";
import type { UpstreamHealthCache } from "../providers/upstream-health.ts";
import type { DeploymentObject, Objects, SecretObject } from "../resources.ts";
import type { Reconcile, Result } from "../runtime/controller.ts";
import { writeStatus } from "../status.ts";
import { decideRegistryStatus, inClusterReadiness, type Readiness, upstreamStatus } from "./decide.ts";
import { type ProvisionDependencies, provision } from "./provision.ts";
import { teardown } from "./teardown.ts";
import { type ExaminedUpstream, resolveUpstream } from "./upstreams.ts";

/** What the reconciler of CacheRegistries works with. */
export interface CacheRegistryDependencies extends ProvisionDependencies {
  readonly client: Pick<KubeClient, "apply" | "applyStatus" | "mergePatch" | "list" | "delete">;
  readonly registries: Objects<CacheRegistryObject>;
  readonly rules: Objects<CacheRuleObject>;
  readonly plans: Pick<Plans, "of">;
  readonly secrets: Objects<SecretObject>;
  readonly deployments: Objects<DeploymentObject>;
  readonly health: Pick<UpstreamHealthCache, "check">;
  readonly events: Events;
  readonly clock: Clock;
  readonly intervals: RegistryIntervals;
}

/** How long until a registry is looked at again although nothing changed. */
export interface RegistryIntervals {
  readonly pendingMs: number;
  readonly healthyMs: number;
}

const SHOWN_NAMES = 3;

function shorten(names: readonly string[]): string {
  const more = names.length > SHOWN_NAMES ? ` and ${names.length - SHOWN_NAMES} more` : "";
  return `${names.slice(0, SHOWN_NAMES).join(", ")}${more}`;
}

function referring(registry: CacheRegistryObject, rules: readonly CacheRuleObject[]): readonly string[] {
  return rules
    .filter((rule) => rule.spec.registryRef.name === registry.metadata.name)
    .map((rule) => rule.metadata.name)
    .sort();
}

/** The registry that has the same pull host and was there first, if there is one. */
function elder(registry: CacheRegistryObject, all: readonly CacheRegistryObject[]): CacheRegistryObject | undefined {
  const age = ({ metadata }: CacheRegistryObject) => `${metadata.creationTimestamp} ${metadata.name}`;
  const host = registry.spec.inCluster?.pullHost;
  return all.find((other) => other.spec.inCluster?.pullHost === host && age(other) < age(registry));
}

/** Describes and asks every upstream of `hosts`. */
async function examine(
  registry: CacheRegistryObject,
  hosts: readonly string[],
  { secrets, health, installation }: CacheRegistryDependencies,
): Promise<readonly ExaminedUpstream[]> {
  return await Promise.all(
    hosts.map(async (host): Promise<ExaminedUpstream> => {
      const resolved = resolveUpstream(registry, host, secrets, installation.namespace);
      return resolved.kind === "problem" ? resolved : { ...resolved, health: await health.check(resolved.upstream) };
    }),
  );
}

/** One pass over one registry. */
class Pass {
  readonly #registry: CacheRegistryObject;
  readonly #dependencies: CacheRegistryDependencies;
  readonly #signal: AbortSignal;

  constructor(registry: CacheRegistryObject, dependencies: CacheRegistryDependencies, signal: AbortSignal) {
    this.#registry = registry;
    this.#dependencies = dependencies;
    this.#signal = signal;
  }

  async publish(readiness: Readiness, upstreams: readonly UpstreamStatus[]): Promise<void> {
    const { client, clock, events, rules } = this.#dependencies;
    const registry = this.#registry;
    const provider = providerOf(registry.spec);
    const total = referring(registry, rules.list()).length;
    const facts = { registry, readiness, rules: total, upstreams, ...(provider && { provider }) };
    const status = decideRegistryStatus(facts, clock.now());
    const known = registry.status?.conditions as readonly Condition[] | undefined;
    if (await writeStatus(client, CACHE_REGISTRIES, registry, status, this.#signal)) {
      noteReadiness(events, registry, known, status.conditions as readonly Condition[]);
    }
  }

  /** Says that the registry is not ready, and leaves the rest of its status as it was. */
  async refuse(reason: Readiness["reason"], message: string): Promise<void> {
    await this.publish({ status: "False", reason, message }, this.#registry.status?.upstreams ?? []);
  }

  async serve(): Promise<Result> {
    const { plans, log } = this.#dependencies;
    const registry = this.#registry;
    const { hosts } = plans.of(registry);
    const declared = (registry.spec.upstreams ?? []).map(({ host }) => normaliseHost(host));
    const used = await examine(registry, [...hosts], this.#dependencies);
    try {
      await provision(registry, used, this.#dependencies, this.#signal);
    } catch (thrown) {
      if (!isKubeError(thrown, "INVALID", "FORBIDDEN")) throw thrown;
      log.warn("object refused by the API server", { registry: registry.metadata.name, error: thrown.message });
      await this.refuse(REASON.RemoteError, `what serves the registry could not be made: ${thrown.message}`);
      return { requeueAfterMs: this.#atRestMs() }; // what is in the way (a node port, a quota) may go away by itself
    }
    const unused = declared.filter((host) => !hosts.has(host));
    const others = await examine(registry, unused, this.#dependencies);
    const deployments = new Map(this.#dependencies.deployments.list().map((one) => [one.metadata.name, one]));
    const readiness = inClusterReadiness(registry, used, deployments);
    await this.publish(readiness, [...used, ...others].map(upstreamStatus));
    const { pendingMs } = this.#dependencies.intervals;
    return { requeueAfterMs: readiness.status === "True" ? this.#atRestMs() : pendingMs };
  }

  /** What is made is watched, so drift shows at once; spec may ask for more looks, not for fewer. */
  #atRestMs(): number {
    const wanted = parseDuration(this.#registry.spec.driftInterval ?? "");
    const { healthyMs } = this.#dependencies.intervals;
    return wanted === undefined ? healthyMs : Math.min(healthyMs, wanted * 1000);
  }

  async finish(): Promise<Result> {
    const { client, rules, installation, intervals } = this.#dependencies;
    const registry = this.#registry;
    if (!isHeld(registry)) return {};
    const remaining = referring(registry, rules.list());
    if (remaining.length > 0) {
      await this.refuse(
        REASON.RulesRemain,
        `deletion waits for CacheRules that name it: ${shorten(remaining)}; delete them`,
      );
      return {};
    }
    const left = await teardown(client, registry.metadata, installation.namespace, this.#signal);
    if (left.length > 0) {
      await this.refuse(REASON.Deleting, `waiting for ${shorten(left)} to go`);
      return { requeueAfterMs: intervals.pendingMs };
    }
    await release(client, CACHE_REGISTRIES, registry, this.#signal);
    return {};
  }
}

/**
 * Reconciles CacheRegistries of the in-cluster provider: resolves the upstreams that accepted rules use, has the objects that serve
 * them, removes those that nothing uses, and says in status how it stands. A deleted registry is let go when no rule names it and
 * everything that was made for it is verified gone.
 */
export function cacheRegistryReconciler(dependencies: CacheRegistryDependencies): Reconcile {
  return async (key, signal) => {
    const registry = dependencies.registries.get(key);
    if (registry === undefined) return {};
    const pass = new Pass(registry, dependencies, signal);
    if (registry.metadata.deletionTimestamp !== undefined) return await pass.finish();
    await hold(dependencies.client, CACHE_REGISTRIES, registry, signal);
    const { inCluster } = registry.spec;
    if (inCluster === undefined) {
      await pass.refuse(REASON.UnsupportedProvider, unsupportedProvider(providerOf(registry.spec)));
      return {};
    }
    const first = elder(registry, dependencies.registries.list())?.metadata.name;
    if (first !== undefined) {
      const message = `CacheRegistry "${first}" already has pullHost ${inCluster.pullHost}; give this one another`;
      await pass.refuse(REASON.DuplicateRegistry, message);
      return {};
    }
    return await pass.serve();
  };
}
