import { createHash } from "node:crypto";
import { LRUCache } from "lru-cache";
import { createPuller, type Puller } from "../../adapters/registry/puller.ts";
import type { Source } from "../../adapters/registry/requests.ts";
import { DomainError } from "../../core/errors.ts";
import { isPlainHttpHost } from "../../core/image/reference.ts";
import type { Credentials, Keychain } from "../../core/policy/types.ts";
import { durationMs } from "../../core/refresh/duration.ts";
import { parsePullSecret } from "../../core/registry/docker-config.ts";
import { createKeychain } from "../../core/registry/keychain.ts";
import type { CacheRegistryObject } from "../../crds/index.ts";
import type { Objects, SecretObject } from "../resources.ts";

/** Where a registry answers, and as whom it is asked. */
export interface Place {
  readonly host: string;
  readonly plainHTTP: boolean;
  /** Certificates (PEM) to trust beside the system's. */
  readonly ca?: string;
  /** The name that the certificate must have, where it is another than `host`. */
  readonly serverName?: string;
  readonly keychain: Keychain;
}

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

export type RefreshErrorCode = "REFRESH_CREDENTIALS" | "REFRESH_UPSTREAM" | "REFRESH_FAILED";

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

/** A keychain of one user, for whatever is asked; of nobody without. */
export function keychainOf(credentials: Credentials | undefined): Keychain {
  const all = credentials === undefined ? [] : [credentials];
  return { forRepository: () => all };
}

/** How long the registry keeps what it fetched, in milliseconds: Infinity for ever, undefined when only the registry knows. */
export function keptForMs({ spec }: CacheRegistryObject): number | undefined {
  if (spec.distribution !== undefined) return DISTRIBUTION_TTL_MS;
  if (spec.inCluster === undefined) return undefined;
  const { ttl } = spec.inCluster;
  const ms = ttl === undefined ? DISTRIBUTION_TTL_MS : (durationMs(ttl) ?? DISTRIBUTION_TTL_MS);
  return ms === 0 ? Number.POSITIVE_INFINITY : ms;
}

function text(secret: SecretObject, key: string): string {
  return Buffer.from(secret.data?.[key] ?? "", "base64").toString("utf8");
}

function pullKeychain(registry: CacheRegistryObject, { secrets, namespace }: DoorsOptions): Keychain {
  const name = registry.spec.pullSecretRef?.name;
  if (name === undefined) return keychainOf(undefined);
  const problem = (why: string) =>
    new DomainError<RefreshErrorCode>(
      "REFRESH_CREDENTIALS",
      `Secret "${name}" (spec.pullSecretRef of CacheRegistry "${registry.metadata.name}") in namespace ${namespace} ${why}`,
    );
  const secret = secrets.get(`${namespace}/${name}`);
  if (secret === undefined) throw problem("does not exist; create it there");
  if (secret.type === "kubernetes.io/basic-auth") {
    const [username, password] = [text(secret, "username"), text(secret, "password")];
    if (username === "" || password === "") throw problem("has an empty username or password; fill in both");
    return keychainOf({ username, password });
  }
  const { entries, problem: unusable } = parsePullSecret(secret);
  if (entries.length === 0) throw problem(`can't be used: ${unusable ?? "it has no entries"}`);
  return createKeychain(entries);
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
    const keychain = pullKeychain(registry, this.#options);
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
    const keychain = keychainOf(credentials);
    return this.#open({ host, plainHTTP, keychain, ...(caBundle !== undefined && { ca: caBundle }) });
  }

  #open({ host, plainHTTP, ca, serverName, keychain }: Place): Door {
    const key = createHash("sha256")
      .update(JSON.stringify([host, plainHTTP, ca ?? "", serverName ?? ""]))
      .digest("base64");
    const known = this.#pullers.get(key);
    const trust = { ...(ca !== undefined && { ca }), ...(serverName !== undefined && { serverName }) };
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
