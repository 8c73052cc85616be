import { ProductError } from "../../adapters/products/errors.ts";
import type { HarborApi } from "../../adapters/products/harbor.ts";
import { shownHost } from "../../core/cacheregistry/upstream.ts";
import {
  desiredProject,
  type FoundProject,
  judgeHarborRule,
  projectDifferences,
  projectName,
} from "../../core/product/harbor.ts";
import { ENDPOINT_PREFIX, endpointName, ownerOf } from "../../core/product/harbor-endpoint.ts";
import type { RemoteRule } from "../../core/product/step.ts";
import { shortlist } from "../../core/shortlist.ts";
import { type CacheRegistryObject, REASON, type Reason } from "../../crds/index.ts";
import { type AskingLimits, HarborEndpoints } from "./harbor-endpoints.ts";
import { registryOutcome } from "./harbor-outcome.ts";
import { correctProject, finishProject, purgeProject, storageOf } from "./harbor-project.ts";
import { type HarborGateOptions, HarborSessions, harborOf } from "./harbor-session.ts";
import type {
  Pending,
  ProductContext,
  Progress,
  Refusal,
  RegistryOutcome,
  RegistryProduct,
  RuleRequest,
  WantedUpstream,
} from "./provider.ts";

const REPOSITORIES_A_PASS = 50;

function pending(reason: Reason, message: string): Pending {
  return { done: false, reason, message };
}

/** Harbor: a registry endpoint for each upstream of a CacheRegistry, and a proxy cache project for each rule. */
export class HarborProduct implements RegistryProduct {
  readonly name = "harbor";
  readonly #sessions: HarborSessions;
  readonly #endpoints: HarborEndpoints;
  /** Registry and host → id of their endpoint, as last seen; saves a call for each rule, and is believed only where it fits. */
  readonly #endpointIds = new Map<string, number>();

  constructor(context: ProductContext, gate: HarborGateOptions = {}, limits: Partial<AskingLimits> = {}) {
    this.#sessions = new HarborSessions(context, gate);
    this.#endpoints = new HarborEndpoints(context, limits);
  }

  pullHost(registry: CacheRegistryObject): string {
    return new URL(harborOf(registry).url).host;
  }

  identity(registry: CacheRegistryObject): string {
    return `harbor ${this.pullHost(registry)}`;
  }

  judge({ mapping, rule }: RuleRequest): Refusal | undefined {
    return judgeHarborRule(mapping, rule.spec);
  }

  remoteId({ mapping }: RuleRequest): string {
    return projectName(mapping);
  }

  async prepare(
    registry: CacheRegistryObject,
    upstreams: readonly WantedUpstream[],
    signal: AbortSignal,
  ): Promise<RegistryOutcome> {
    const api = await this.#sessions.of(registry, signal);
    const made = await api.endpoints(ENDPOINT_PREFIX, signal);
    const hosts = upstreams.map(({ host }) => host);
    const states = await this.#endpoints.ensureAll({ api, registry, made, signal }, hosts);
    for (const { host, id } of states) if (id !== undefined) this.#endpointIds.set(endpointKey(registry, host), id);
    const wanted = new Set(hosts.map((host) => endpointName(registry.metadata.name, host)));
    const unwanted = made.filter((one) => ownerOf(one) === registry.metadata.uid && !wanted.has(one.name));
    // A project that was left behind goes on using its endpoint: Harbor does not delete that one.
    for (const endpoint of unwanted) await api.deleteEndpoint(endpoint, signal);
    return registryOutcome(states);
  }

  async withdraw(registry: CacheRegistryObject, signal: AbortSignal): Promise<Progress> {
    this.#endpoints.forget(registry);
    const api = await this.#sessions.of(registry, signal);
    const made = await api.endpoints(ENDPOINT_PREFIX, signal);
    const used: string[] = [];
    for (const endpoint of made) {
      if (ownerOf(endpoint) !== registry.metadata.uid) continue;
      if (!(await api.deleteEndpoint(endpoint, signal))) used.push(endpoint.name);
    }
    if (used.length === 0) return { done: true };
    const shown = shortlist(used, 5);
    return pending(
      REASON.Deleting,
      `Harbor keeps registry endpoints that projects or replications still use: ${shown}; delete those, or leave the endpoints to them`,
    );
  }

  async observe(request: RuleRequest, signal: AbortSignal): Promise<RemoteRule | undefined> {
    const api = await this.#sessions.of(request.registry, signal);
    const desired = desiredProject(request.mapping, request.rule.spec);
    const found = await api.project(desired.name, signal);
    if (found === undefined) return undefined;
    const endpoint = await this.#endpointId(api, request, found, signal);
    const storage = await storageOf(api, found, desired, signal);
    const differences = projectDifferences(desired, found, endpoint, storage);
    const mark = isHalfOfOurs(request, found, endpoint) ? { mark: "ours" as const } : {};
    return { id: found.name, createdAt: found.createdAt, ...mark, differences, state: "settled" };
  }

  async create(request: RuleRequest, signal: AbortSignal): Promise<void> {
    const api = await this.#sessions.of(request.registry, signal);
    const desired = desiredProject(request.mapping, request.rule.spec);
    const registryId = await this.#makeEndpoint(api, request, signal);
    try {
      if (await api.createProject({ ...desired, registryId }, signal)) return;
    } catch (thrown) {
      const isHalf = thrown instanceof ProductError && thrown.code === "PRODUCT_UNAVAILABLE";
      if (isHalf && (await finishProject(api, desired, registryId, signal))) return;
      throw thrown;
    }
    throw new ProductError(
      "PRODUCT_BUSY",
      `Harbor has a project "${desired.name}" that was not there, or that the account does not see; looked at again: if this stays, give the system robot rights for all projects`,
    );
  }

  async update(request: RuleRequest, found: RemoteRule, signal: AbortSignal): Promise<void> {
    const api = await this.#sessions.of(request.registry, signal);
    const desired = desiredProject(request.mapping, request.rule.spec);
    const project = await api.project(desired.name, signal);
    if (project === undefined || project.createdAt !== found.createdAt)
      throw new ProductError(
        "PRODUCT_BUSY",
        `project "${desired.name}" of Harbor was replaced meanwhile; looked at again`,
      );
    await correctProject(api, desired, project, signal);
  }

  async remove(request: RuleRequest, found: RemoteRule, images: boolean, signal: AbortSignal): Promise<Progress> {
    const api = await this.#sessions.of(request.registry, signal);
    const project = await api.project(found.id, signal);
    if (project === undefined || project.createdAt !== found.createdAt) return { done: true };
    const left =
      project.repositories === 0
        ? 0
        : images
          ? await purgeProject(api, found.id, REPOSITORIES_A_PASS, signal)
          : project.repositories;
    if (left === 0 && (await api.deleteProject(found.id, signal)) === "gone") return { done: true };
    return images
      ? pending(
          REASON.Deleting,
          `the cached images in project "${found.id}" of Harbor are being deleted; ${left} repositories are left`,
        )
      : pending(
          REASON.LeftBehind,
          `project "${found.id}" stays in Harbor: it has cached images; delete it there, or use deletionPolicy DeleteWithImages`,
        );
  }

  /** The id of the endpoint that the rule's project must have. */
  async #endpointId(
    api: HarborApi,
    { registry, host }: RuleRequest,
    found: FoundProject,
    signal: AbortSignal,
  ): Promise<number | undefined> {
    const key = endpointKey(registry, host);
    if (this.#endpointIds.get(key) === found.registryId) return found.registryId;
    const endpoint = await api.endpoint(endpointName(registry.metadata.name, host), signal);
    if (endpoint === undefined || ownerOf(endpoint) !== registry.metadata.uid) return undefined;
    this.#endpointIds.set(key, endpoint.id);
    return endpoint.id;
  }

  /** As `prepare` does for one upstream, so that a rule says why it can't be made. */
  async #makeEndpoint(api: HarborApi, { registry, host }: RuleRequest, signal: AbortSignal): Promise<number> {
    const found = await api.endpoint(endpointName(registry.metadata.name, host), signal);
    const made = found === undefined ? [] : [found];
    const { id, reason, message, fault } = await this.#endpoints.ensure({ api, registry, made, signal }, host);
    if (id !== undefined) return id;
    const code = fault === "registry" ? "PRODUCT_REFUSED" : "PRODUCT_UNAVAILABLE";
    throw new ProductError(code, `Harbor has no registry endpoint for ${shownHost(host)} yet: ${message}`, { reason });
  }
}

/**
 * Whether a project that differs is what a creation of ours left half made: on our endpoint, under the name that status announced,
 * not seen before, and without the retention policy that Harbor gives a proxy cache project last of all.
 */
function isHalfOfOurs({ rule }: RuleRequest, found: FoundProject, endpoint: number | undefined): boolean {
  const { remoteId, remoteCreationTime } = rule.status ?? {};
  const isAnnounced = remoteId === found.name && remoteCreationTime === undefined;
  return isAnnounced && found.registryId === endpoint && found.metadata["retention_id"] === undefined;
}

function endpointKey(registry: CacheRegistryObject, host: string): string {
  return `${registry.metadata.uid}/${host}`;
}
