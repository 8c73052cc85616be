import {
  type ArtifactRegistryApi,
  createAsked,
  deleteAsked,
  openArtifactRegistry,
  type RemoteOperation,
} from "../../adapters/products/artifactregistry.ts";
import type { Asked } from "../../adapters/products/artifactregistry-errors.ts";
import { serviceAccountKey } from "../../adapters/products/artifactregistry-key.ts";
import { ProductError } from "../../adapters/products/errors.ts";
import { CallGate } from "../../adapters/products/gate.ts";
import { shownHost } from "../../core/cacheregistry/upstream.ts";
import { normaliseHost } from "../../core/image/reference.ts";
import {
  type ArtifactRegistryBlock,
  artifactRegistryPullHost,
  judgeArtifactRegistry,
  repositoryName,
  repositoryParent,
  type WantedRepository,
  wantedRepository,
} from "../../core/product/artifactregistry.ts";
import { compareRepository } from "../../core/product/artifactregistry-compare.ts";
import type { RemoteRule } from "../../core/product/step.ts";
import { type CacheRegistryObject, REASON } from "../../crds/index.ts";
import type {
  ProductContext,
  Progress,
  Refusal,
  RegistryOutcome,
  RegistryProduct,
  RuleRequest,
  WantedUpstream,
} from "./provider.ts";
import { secretValue } from "./secret-value.ts";
import { Sessions } from "./sessions.ts";

const KEY_FILE = "key.json";
const KEY_PURPOSE = "spec.artifactRegistry.auth.secretRef needs a Google service account key under key.json";
/** How long an operation is waited for; after that, whoever looks next sees what came of it. */
const WAITS_MS = [1_000, 2_000, 4_000];
const UNTOLD =
  "Artifact Registry tries the upstream's credentials when a repository is made or changed, and does not tell of them afterwards";

/**
 * Google Artifact Registry: one remote repository for each rule, whose id is the target's one path component. Ownership is told by the
 * labels `managed-by` and `cacherule-uid`. Nothing is made for a registry as a whole.
 */
export class ArtifactRegistryProduct implements RegistryProduct {
  readonly name = "artifactRegistry";
  readonly #context: ProductContext;
  readonly #sessions = new Sessions<ArtifactRegistryApi>();

  constructor(context: ProductContext) {
    this.#context = context;
  }

  pullHost(registry: CacheRegistryObject): string {
    return artifactRegistryPullHost(blockOf(registry));
  }

  identity(registry: CacheRegistryObject): string {
    const { endpoint = "" } = blockOf(registry);
    return `${endpoint}/${repositoryParent(blockOf(registry))}`.toLowerCase();
  }

  judge({ rule, mapping }: RuleRequest): Refusal | undefined {
    return judgeArtifactRegistry(rule, mapping);
  }

  remoteId({ registry, mapping }: RuleRequest): string {
    return repositoryName(blockOf(registry), mapping);
  }

  async prepare(
    registry: CacheRegistryObject,
    upstreams: readonly WantedUpstream[],
    signal: AbortSignal,
  ): Promise<RegistryOutcome> {
    const api = await this.#api(registry, signal);
    await api.check(repositoryParent(blockOf(registry)), signal);
    const withCredentials = upstreams.some(({ entry }) => entry?.credentials !== undefined);
    return {
      ready: { done: true },
      upstreams: upstreams.map(({ host }) => ({ host: shownHost(host), health: "Unknown" })),
      ...(withCredentials && { credentials: { status: "Unknown", message: UNTOLD } }),
    };
  }

  async withdraw(): Promise<Progress> {
    return { done: true };
  }

  async observe(request: RuleRequest, signal: AbortSignal): Promise<RemoteRule | undefined> {
    const api = await this.#api(request.registry, signal);
    const name = this.remoteId(request);
    const found = await api.get(name, signal);
    return found === undefined ? undefined : compareRepository(name, wantedOf(request), found);
  }

  async create(request: RuleRequest, signal: AbortSignal): Promise<void> {
    const api = await this.#api(request.registry, signal);
    const parent = repositoryParent(blockOf(request.registry));
    const wanted = wantedOf(request);
    const begun = await api.create(parent, request.mapping.target.path, wanted, signal);
    await this.#follow(api, begun, createAsked(this.remoteId(request), wanted), signal);
  }

  async update(request: RuleRequest, found: RemoteRule, signal: AbortSignal): Promise<void> {
    const api = await this.#api(request.registry, signal);
    const wanted = wantedOf(request);
    // Labels are replaced as a whole, so that those of others must be sent along as they are now.
    const now = await api.get(found.id, signal);
    if (now === undefined || now.createdAt !== found.createdAt)
      throw new ProductError("PRODUCT_BUSY", `${found.id} was deleted or made anew meanwhile; it is looked at next`);
    const { differences } = compareRepository(found.id, wanted, now);
    const fields = differences.filter(({ correctable }) => correctable).map(({ field }) => field);
    if (fields.length > 0) await api.change(found.id, wanted, now, fields, signal);
  }

  async remove(request: RuleRequest, found: RemoteRule, images: boolean, signal: AbortSignal): Promise<Progress> {
    const api = await this.#api(request.registry, signal);
    if (!images && (await api.hasImages(found.id, signal)))
      return {
        done: false,
        reason: REASON.LeftBehind,
        message: `${found.id} holds cached images, and Artifact Registry deletes them with the repository, so it stays; set deletionPolicy: DeleteWithImages to delete both, or delete it in Google Cloud`,
      };
    const begun = await api.delete(found.id, signal);
    if (begun === undefined) return { done: true };
    const operation = await this.#follow(api, begun, deleteAsked(found.id), signal);
    if (operation.done) return { done: true };
    return { done: false, reason: REASON.Deleting, message: `${found.id} is being deleted in Artifact Registry` };
  }

  /** Waits a little for an operation to end. Throws what it failed with: nobody else would learn of that. */
  async #follow(
    api: ArtifactRegistryApi,
    begun: RemoteOperation,
    asked: Asked,
    signal: AbortSignal,
  ): Promise<RemoteOperation> {
    let operation = begun;
    for (const ms of WAITS_MS) {
      if (operation.done) break;
      await this.#context.clock.sleep(ms, signal);
      signal.throwIfAborted();
      operation = await api.operation(operation.name, asked, signal);
    }
    if (operation.failed !== undefined) throw operation.failed;
    return operation;
  }

  async #api(registry: CacheRegistryObject, signal: AbortSignal): Promise<ArtifactRegistryApi> {
    const { endpoint, auth } = blockOf(registry);
    const text =
      auth.secretRef === undefined ? undefined : secretValue(this.#context, auth.secretRef.name, KEY_FILE, KEY_PURPOSE);
    return await this.#sessions.of(registry.metadata.name, { endpoint, text }, async () => {
      const where = `the key ${KEY_FILE} of Secret ${this.#context.namespace}/${auth.secretRef?.name}`;
      const settings = {
        ...(endpoint !== undefined && { endpoint }),
        ...(text !== undefined && { key: serviceAccountKey(text, where) }),
      };
      return await openArtifactRegistry(settings, new CallGate({ clock: this.#context.clock }), signal);
    });
  }
}

function blockOf({ spec, metadata }: CacheRegistryObject): ArtifactRegistryBlock {
  if (spec.artifactRegistry === undefined) throw new Error(`CacheRegistry ${metadata.name} is no Artifact Registry`);
  return spec.artifactRegistry;
}

function wantedOf({ rule, registry, mapping, host }: RuleRequest): WantedRepository {
  const entry = registry.spec.upstreams?.find((upstream) => normaliseHost(upstream.host) === host);
  return wantedRepository(rule, mapping, entry);
}
