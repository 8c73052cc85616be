import { LRUCache } from "lru-cache";
import { keychainFor, type Place, wayOf } from "../../adapters/caches/place.ts";
import { pullKeychain } from "../../adapters/caches/pullsecret.ts";
import { createPuller, type Puller } from "../../adapters/registry/puller.ts";
import type { Source } from "../../adapters/registry/requests.ts";
import { durationMs } from "../../core/duration.ts";
import { DomainError } from "../../core/errors.ts";
import { isPlainHttpHost } from "../../core/image/reference.ts";
import type { Credentials } from "../../core/policy/types.ts";
import type { CacheRegistryObject } from "../../crds/index.ts";
import type { Objects, SecretObject } from "../resources.ts";

/** A place with what asks it. */
export interface Door {
  readonly puller: Puller;
  source(repository: string): Source;
}

/** The way into a cache. */
export interface CacheDoor extends Door {
  /** Stands before a rule's target in the names that are asked for. */
  readonly prefix: string;
  /** Its lists of tags are those that were pulled, and not the upstream's. */
  readonly listsPulled: boolean;
}

/** The ways into a cache, and to the upstreams behind it. */
export interface Doors {
  cache(registry: CacheRegistryObject, signal: AbortSignal): Promise<CacheDoor>;
  /** Who knows the upstream's tags: undefined when the cache itself does, since it asks the upstream first. Throws `DomainError`. */
  upstream(registry: CacheRegistryObject, host: string): Door | undefined;
}

export type RefreshErrorCode = "REFRESH_UPSTREAM" | "REFRESH_FAILED";

export interface DoorsOptions {
  readonly namespace: string;
  /** By `namespace/name`. */
  readonly secrets: Pick<Objects<SecretObject>, "get">;
  /** What stands before the target in names of this registry: a host, and a path where there is one. */
  readonly pullHost: (registry: CacheRegistryObject) => string;
  /** Where the gateway of an in-cluster registry answers, with what lets the operator in. */
  readonly gateway: (registry: CacheRegistryObject, signal: AbortSignal) => Promise<Place>;
  /** An upstream with its credentials, as `resolveUpstream` gives it. */
  readonly upstreamOf: (registry: CacheRegistryObject, host: string) => UpstreamPlace;
}

/** The part of a resolved upstream that is read here. */
export type UpstreamPlace =
  | {
      readonly kind: "upstream";
      readonly upstream: {
        readonly host: string;
        readonly plainHTTP: boolean;
        readonly caBundle?: string;
        readonly credentials?: Credentials;
      };
    }
  | { readonly kind: "problem"; readonly message: string };

const PLACES = 512;
const STALL_MS = 30_000; // a cache that has to fetch first may be slow to begin
const DISTRIBUTION_TTL_MS = 168 * 3_600_000; // CNCF distribution's default

/** How long the registry keeps what it fetched, in milliseconds: Infinity for ever, undefined when only the registry knows. */
export function keptForMs({ spec }: CacheRegistryObject): number | undefined {
  if (spec.distribution !== undefined) return DISTRIBUTION_TTL_MS;
  if (spec.inCluster === undefined) return undefined;
  const { ttl } = spec.inCluster;
  const ms = ttl === undefined ? DISTRIBUTION_TTL_MS : (durationMs(ttl) ?? DISTRIBUTION_TTL_MS);
  return ms === 0 ? Number.POSITIVE_INFINITY : ms;
}

/** Opens doors as they are needed; connections are kept for each way of connecting. */
export class RegistryDoors implements Doors {
  readonly #options: DoorsOptions;
  readonly #pullers = new LRUCache<string, Puller>({ max: PLACES, dispose: (puller) => void puller.close() });

  constructor(options: DoorsOptions) {
    this.#options = options;
  }

  async cache(registry: CacheRegistryObject, signal: AbortSignal): Promise<CacheDoor> {
    if (registry.spec.inCluster !== undefined)
      return { ...this.#open(await this.#options.gateway(registry, signal)), prefix: "", listsPulled: false };
    const [host = "", ...path] = this.#options.pullHost(registry).split("/");
    const { namespace, secrets } = this.#options;
    const secret = (name: string) => secrets.get(`${namespace}/${name}`);
    const keychain = pullKeychain(registry, host, { namespace, secret });
    const { azure, ecr, zot } = registry.spec;
    const listsPulled = azure !== undefined || ecr !== undefined || zot !== undefined;
    const door = this.#open({ host, plainHTTP: isPlainHttpHost(host), keychain });
    return { ...door, prefix: path.join("/"), listsPulled };
  }

  upstream(registry: CacheRegistryObject, host: string): Door | undefined {
    if (registry.spec.inCluster !== undefined || registry.spec.distribution !== undefined) return undefined;
    const resolved = this.#options.upstreamOf(registry, host);
    if (resolved.kind === "problem") throw new DomainError<RefreshErrorCode>("REFRESH_UPSTREAM", resolved.message);
    const { plainHTTP, caBundle, credentials } = resolved.upstream;
    const keychain = keychainFor(host, credentials);
    return this.#open({ host, plainHTTP, keychain, ...(caBundle !== undefined && { ca: caBundle, caAlone: true }) });
  }

  #open(place: Place): Door {
    const { host, plainHTTP, ca, caAlone = false, serverName, keychain } = place;
    const key = wayOf(place);
    const known = this.#pullers.get(key);
    const trust = { ...(ca !== undefined && { ca, caAlone }), ...(serverName !== undefined && { serverName }) };
    const options = { attemptMs: STALL_MS, isPlainHttp: () => plainHTTP, ...trust };
    const puller = known ?? createPuller(options);
    if (known === undefined) this.#pullers.set(key, puller);
    return { puller, source: (repository) => ({ registry: host, repository, keychain }) };
  }

  /** Ends all connections. */
  async close(): Promise<void> {
    const pullers = [...this.#pullers.values()];
    await Promise.all(pullers.map((puller) => puller.close()));
  }
}
