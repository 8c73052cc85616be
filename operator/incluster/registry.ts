import type { Clock } from "../../adapters/clock.ts";
import { isKubeError } from "../../adapters/kube/errors.ts";
import type { KubeClient } from "../../adapters/kube/types.ts";
import { backendName, gatewayName } from "../../core/cacheregistry/names.ts";
import { shownHost } from "../../core/cacheregistry/upstream.ts";
import { shortlist } from "../../core/shortlist.ts";
import { type CacheRegistryObject, REASON } from "../../crds/index.ts";
import type { RulesPage } from "../pages/documents.ts";
import { type Endpoint, readyEndpoints } from "../pages/endpoints.ts";
import type { Answer } from "../pages/poll.ts";
import type {
  Progress,
  RegistryOutcome,
  RegistryPlanView,
  RenderedRegistry,
  RuleRequest,
  RuleServing,
  UpstreamState,
} from "../providers/provider.ts";
import type { DeploymentObject, EndpointSliceObject, Objects, SecretObject } from "../resources.ts";
import { type ProvisionDependencies, provision } from "./provision.ts";
import { inClusterReadiness, upstreamStatus } from "./readiness.ts";
import { isRolledOut, lookAt } from "./rollout.ts";
import { servedByAll, servedByNone } from "./serving.ts";
import { teardown } from "./teardown.ts";
import type { UpstreamHealthCache } from "./upstream-health.ts";
import { type ExaminedUpstream, resolveUpstream } from "./upstreams.ts";

/** What the in-cluster registry works with. */
export interface InClusterWorld extends ProvisionDependencies {
  readonly client: Pick<KubeClient, "apply" | "delete" | "list">;
  readonly namespace: string;
  readonly statusPort: number;
  readonly secrets: Objects<SecretObject>;
  readonly deployments: Objects<DeploymentObject>;
  readonly endpointSlices: Objects<EndpointSliceObject>;
  readonly health: Pick<UpstreamHealthCache, "check">;
  readonly clock: Clock;
  /** The rules that each gateway replica of a registry serves. */
  askGateways(
    registry: string,
    endpoints: readonly Endpoint[],
    signal: AbortSignal,
  ): Promise<readonly Answer<RulesPage>[]>;
}

const DONE: Progress = { done: true };

function isAvailable(deployment: DeploymentObject | undefined): boolean {
  return (deployment?.status?.availableReplicas ?? 0) > 0;
}

/**
 * The cache that runs in the cluster. Gateways watch the rules themselves and the objects are made for the registry as a whole;
 * `observe` and `removed` ask the gateways what they really serve.
 */
export class InClusterRegistry implements RenderedRegistry {
  readonly name = "inCluster";
  readonly holdsRules = false; // gateways follow the rules themselves
  readonly #world: InClusterWorld;

  constructor(world: InClusterWorld) {
    this.#world = world;
  }

  pullHost(registry: CacheRegistryObject): string {
    return registry.spec.inCluster?.pullHost ?? "";
  }

  identity(registry: CacheRegistryObject): string {
    return `pullHost ${this.pullHost(registry)}`;
  }

  judge(): undefined {
    return undefined; // any shape, any upstream
  }

  async prepare(
    registry: CacheRegistryObject,
    { upstreams }: RegistryPlanView,
    signal: AbortSignal,
  ): Promise<RegistryOutcome> {
    const hostsOf = (used: boolean) => upstreams.filter((one) => one.used === used).map(({ host }) => host);
    const used = await this.#examine(registry, hostsOf(true));
    const refusal = await this.#provision(registry, used, signal);
    const others = await this.#examine(registry, hostsOf(false));
    const deployments = new Map(this.#world.deployments.list().map((one) => [one.metadata.name, one]));
    return {
      ready: refusal ?? inClusterReadiness(registry, used, deployments, this.#world.namespace),
      upstreams: [...used, ...others].map(upstreamStatus),
    };
  }

  async #provision(registry: CacheRegistryObject, used: readonly ExaminedUpstream[], signal: AbortSignal) {
    try {
      const progress = await provision(registry, used, this.#world, signal);
      return progress.done ? undefined : progress;
    } catch (thrown) {
      if (!isKubeError(thrown, "INVALID", "FORBIDDEN")) throw thrown; // what is in the way (a node port, a quota) may go away by itself
      this.#world.log.warn("object refused by the API server", {
        registry: registry.metadata.name,
        error: thrown.message,
      });
      const message = `not everything that serves the registry could be made: ${thrown.message}`;
      return { done: false, reason: REASON.RemoteError, message } as const;
    }
  }

  /** Describes and asks every upstream of `hosts`. */
  async #examine(registry: CacheRegistryObject, hosts: readonly string[]): Promise<readonly ExaminedUpstream[]> {
    const { secrets, namespace, health } = this.#world;
    return await Promise.all(
      hosts.map(async (host): Promise<ExaminedUpstream> => {
        const resolved = resolveUpstream(registry, host, secrets, namespace);
        return resolved.kind === "problem" ? resolved : { ...resolved, health: await health.check(resolved.upstream) };
      }),
    );
  }

  async withdraw(registry: CacheRegistryObject, signal: AbortSignal): Promise<Progress> {
    const left = await teardown(this.#world.client, registry.metadata, this.#world.namespace, signal);
    if (left.length === 0) return DONE;
    return { done: false, reason: REASON.Deleting, message: `waiting for ${shortlist(left)} to go` };
  }

  async observe(request: RuleRequest, signal: AbortSignal): Promise<RuleServing> {
    const [serving, upstream] = await Promise.all([this.#serving(request, signal), this.#upstream(request)]);
    return { ...serving, upstream };
  }

  async #upstream({ registry, host }: RuleRequest): Promise<UpstreamState> {
    const { secrets, namespace, health } = this.#world;
    const resolved = resolveUpstream(registry, host, secrets, namespace);
    if (resolved.kind === "problem") return resolved;
    const { upstream } = resolved;
    return { kind: "probed", anonymous: upstream.credentials === undefined, health: await health.check(upstream) };
  }

  async #serving({ rule, registry, host }: RuleRequest, signal: AbortSignal): Promise<RuleServing> {
    const gateway = gatewayName(registry.metadata.name);
    const backend = backendName(registry.metadata.name, host);
    const parts = [backend, gateway].map((name) => ({ name, deployment: this.#deployment(name) }));
    const missing = parts.find(({ deployment }) => deployment === undefined);
    if (missing !== undefined) {
      const message = `Deployment "${missing.name}" does not exist yet; see the conditions of CacheRegistry "${registry.metadata.name}"`;
      const pending: Progress = { done: false, reason: REASON.Creating, message };
      return { synced: pending, serving: { ...pending, reason: REASON.RegistryNotReady } };
    }
    const rolling = parts.find(({ deployment }) => deployment === undefined || !isRolledOut(deployment));
    const synced: Progress =
      rolling === undefined
        ? DONE
        : { done: false, reason: REASON.Updating, message: `Deployment "${rolling.name}" is being rolled out` };
    if (!isAvailable(this.#deployment(backend))) {
      const message = `no Pod of Deployment "${backend}", the proxy of ${shownHost(host)}, is ready; ${lookAt(backend, this.#world.namespace)}`;
      return { synced, serving: { done: false, reason: REASON.BackendNotReady, message } };
    }
    const answers = await this.#ask(registry.metadata.name, signal);
    return { synced, serving: servedByAll(answers, rule, gateway, this.#world.namespace) };
  }

  async removed({ rule, registry }: Pick<RuleRequest, "rule" | "registry">, signal: AbortSignal): Promise<Progress> {
    return servedByNone(await this.#ask(registry.metadata.name, signal), rule);
  }

  #deployment(name: string): DeploymentObject | undefined {
    return this.#world.deployments.get(`${this.#world.namespace}/${name}`);
  }

  async #ask(registry: string, signal: AbortSignal): Promise<readonly Answer<RulesPage>[]> {
    const endpoints = readyEndpoints(this.#world.endpointSlices, gatewayName(registry), this.#world.statusPort);
    return await this.#world.askGateways(registry, endpoints, signal);
  }
}
