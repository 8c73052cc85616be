import { backendName, gatewayName } from "../../core/cacheregistry/names.ts";
import { shownHost } from "../../core/cacheregistry/upstream.ts";
import { type CacheRegistryObject, type CacheRuleObject, REASON, type Reason } from "../../crds/index.ts";
import type { RulesPage } from "../pages/documents.ts";
import { type Endpoint, readyEndpoints } from "../pages/endpoints.ts";
import type { Answer } from "../pages/poll.ts";
import type { DeploymentObject, EndpointSliceObject, Objects } from "../resources.ts";
import type { CacheProvider, Pending, Progress, RuleObservation, RuleRequest } from "./provider.ts";

/** What the in-cluster provider reads. */
export interface InClusterWorld {
  readonly namespace: string;
  readonly statusPort: number;
  readonly deployments: Objects<DeploymentObject>;
  readonly endpointSlices: Objects<EndpointSliceObject>;
  /** The rules that each gateway replica of a registry serves. */
  askGateways(
    registry: string,
    endpoints: readonly Endpoint[],
    signal: AbortSignal,
  ): Promise<readonly Answer<RulesPage>[]>;
}

const DONE: Progress = { done: true };

/** Whether a Deployment has come to rest at what its spec says. */
export function isRolledOut(deployment: DeploymentObject): boolean {
  const { metadata, spec, status } = deployment;
  const wanted = spec?.replicas ?? 1;
  return (
    status?.observedGeneration === metadata.generation &&
    (status?.updatedReplicas ?? 0) >= wanted &&
    (status?.replicas ?? 0) <= wanted &&
    (status?.availableReplicas ?? 0) >= wanted
  );
}

function isAvailable(deployment: DeploymentObject | undefined): boolean {
  return (deployment?.status?.availableReplicas ?? 0) > 0;
}

/** What keeps one gateway replica from serving the rule; undefined when it does. */
function obstacle(answer: Answer<RulesPage>, rule: CacheRuleObject): Pending | undefined {
  const pod = `gateway Pod "${answer.endpoint}"`;
  const pending = (reason: Reason, message: string): Pending => ({ done: false, reason, message });
  if ("problem" in answer)
    return pending(REASON.GatewayNotReady, `${pod} can't be asked what it serves: ${answer.problem}`);
  const served = answer.page.get(rule.metadata.name);
  if (served?.uid !== rule.metadata.uid || served.generation !== rule.metadata.generation) {
    return pending(REASON.GatewayNotReady, `${pod} does not serve the rule yet`);
  }
  return served.problem === undefined
    ? undefined
    : pending(REASON.BackendNotReady, `${pod} gets no answer from the proxy behind it: ${served.problem}`);
}

/** Whether every ready gateway replica serves the rule at its generation. */
export function servedByAll(answers: readonly Answer<RulesPage>[], rule: CacheRuleObject, gateway: string): Progress {
  if (answers.length === 0) {
    const message = `no Pod of Deployment "${gateway}" is ready; see kubectl describe deployment ${gateway} in the system namespace`;
    return { done: false, reason: REASON.GatewayNotReady, message };
  }
  return answers.map((answer) => obstacle(answer, rule)).find((found) => found !== undefined) ?? DONE;
}

/** Whether no ready gateway replica serves the rule, in whatever generation. */
export function servedByNone(answers: readonly Answer<RulesPage>[], rule: CacheRuleObject): Progress {
  const uid = rule.metadata.uid;
  const left = answers.find((answer) => "problem" in answer || answer.page.get(rule.metadata.name)?.uid === uid);
  if (left === undefined) return DONE;
  const why =
    "problem" in left ? `can't be asked whether it still serves the rule: ${left.problem}` : "still serves the rule";
  return { done: false, reason: REASON.Deleting, message: `gateway Pod "${left.endpoint}" ${why}` };
}

/**
 * The cache that runs in the cluster. Gateways watch the rules themselves and the objects are made for the registry as a whole, so
 * `create` and `update` have nothing to do; `observe` and `remove` ask the gateways what they really serve.
 */
export class InClusterProvider implements CacheProvider {
  readonly name = "inCluster";
  readonly #world: InClusterWorld;

  constructor(world: InClusterWorld) {
    this.#world = world;
  }

  pullHost(registry: CacheRegistryObject): string {
    return registry.spec.inCluster?.pullHost ?? "";
  }

  async observe({ rule, registry, host }: RuleRequest, signal: AbortSignal): Promise<RuleObservation> {
    const gateway = gatewayName(registry.metadata.name);
    const backend = backendName(registry.metadata.name, host);
    const parts = [backend, gateway].map((name) => ({ name, deployment: this.#deployment(name) }));
    const missing = parts.find(({ deployment }) => deployment === undefined);
    if (missing !== undefined) {
      const message = `Deployment "${missing.name}" does not exist yet; see the conditions of CacheRegistry "${registry.metadata.name}"`;
      const pending: Progress = { done: false, reason: REASON.Creating, message };
      return { remote: "absent", rolledOut: pending, serving: { ...pending, reason: REASON.RegistryNotReady } };
    }
    const rolling = parts.find(({ deployment }) => deployment === undefined || !isRolledOut(deployment));
    const rolledOut: Progress =
      rolling === undefined
        ? DONE
        : { done: false, reason: REASON.Updating, message: `Deployment "${rolling.name}" is being rolled out` };
    if (!isAvailable(this.#deployment(backend))) {
      const message = `no Pod of Deployment "${backend}", the proxy of ${shownHost(host)}, is ready; see kubectl describe deployment ${backend} in namespace ${this.#world.namespace}`;
      return { remote: "identical", rolledOut, serving: { done: false, reason: REASON.BackendNotReady, message } };
    }
    return {
      remote: "identical",
      rolledOut,
      serving: servedByAll(await this.#ask(registry.metadata.name, signal), rule, gateway),
    };
  }

  async create(): Promise<void> {}

  async update(): Promise<void> {}

  async remove(
    rule: CacheRuleObject,
    _registry: CacheRegistryObject | undefined,
    signal: AbortSignal,
  ): Promise<Progress> {
    return servedByNone(await this.#ask(rule.spec.registryRef.name, signal), rule);
  }

  #deployment(name: string): DeploymentObject | undefined {
    return this.#world.deployments.get(`${this.#world.namespace}/${name}`);
  }

  async #ask(registry: string, signal: AbortSignal): Promise<readonly Answer<RulesPage>[]> {
    const endpoints = readyEndpoints(this.#world.endpointSlices, gatewayName(registry), this.#world.statusPort);
    return await this.#world.askGateways(registry, endpoints, signal);
  }
}
