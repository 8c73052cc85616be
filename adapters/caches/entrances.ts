import type { LookupPlace } from "../../core/cachenames/lookups.ts";
import { DomainError } from "../../core/errors.ts";
import { type ImageReference, repositoryName } from "../../core/image/reference.ts";
import type { Keychain } from "../../core/policy/types.ts";
import { joinKeychains } from "../../core/registry/keychain.ts";
import type { CacheRegistryObject } from "../../crds/index.ts";
import type { RegistryClients } from "./clients.ts";
import { type GatewayPlaceOptions, gatewayPlace } from "./gateway.ts";
import { harborTrust } from "./harbortrust.ts";
import type { CacheAccessErrorCode, ConfigMapLookup, Connection } from "./place.ts";
import { pullKeychain } from "./pullsecret.ts";

/** A repository as it is asked for, and as whom. */
export interface Entrance {
  readonly reference: ImageReference;
  readonly keychain: Keychain;
}

export interface EntrancesOptions extends GatewayPlaceOptions {
  /** A CacheRegistry by name. */
  readonly registry: (name: string) => CacheRegistryObject | undefined;
  readonly configMap: ConfigMapLookup;
  /** Told how a cache is connected to before it is asked. */
  readonly clients: Pick<RegistryClients, "use" | "useDefault">;
}

/**
 * The ways into caches. A gateway is asked at its Service, since the host that nodes pull from it at may mean nothing in a Pod, and
 * with this process's own token. Other products are asked at the host that nodes pull from, with the workload's credentials first and
 * then with those of `spec.pullSecretRef`, and trusted by the certificates that they name beside the system's.
 */
export class CacheEntrances {
  readonly #options: EntrancesOptions;

  constructor(options: EntrancesOptions) {
    this.#options = options;
  }

  /** Throws `DomainError<CacheAccessErrorCode>`. */
  async enter(
    { cache, reference }: Extract<LookupPlace, { readonly kind: "cache" }>,
    workload: Keychain,
  ): Promise<Entrance> {
    const registry = this.#options.registry(cache.registry);
    if (registry === undefined)
      throw new DomainError<CacheAccessErrorCode>("CACHE_UNKNOWN", `CacheRegistry "${cache.registry}" does not exist`);
    if (registry.spec.inCluster === undefined) {
      const { registry: host } = reference;
      const own = pullKeychain(registry, host, this.#options);
      this.#trust(registry, host);
      return { reference, keychain: joinKeychains(workload, own) };
    }
    const { keychain, ...connection } = await gatewayPlace(registry, this.#options);
    this.#options.clients.use(connection, this.#whileThere(registry));
    return { reference: movedTo(connection.host, reference), keychain };
  }

  #trust(registry: CacheRegistryObject, host: string): void {
    const { clients } = this.#options;
    let trust: Connection | undefined;
    try {
      trust = harborTrust(registry, host, this.#options);
    } finally {
      if (trust === undefined) clients.useDefault(host); // nor what was trusted before, where there is nothing to trust now
    }
    if (trust !== undefined) clients.use(trust, this.#whileThere(registry));
  }

  /** What a registry is trusted by goes with it. */
  #whileThere({ metadata: { name, uid } }: CacheRegistryObject): () => boolean {
    return () => this.#options.registry(name)?.metadata.uid === uid;
  }
}

function movedTo(host: string, { repository, tag, digest }: ImageReference): ImageReference {
  const moved = {
    registry: host,
    repository,
    ...(tag !== undefined && { tag }),
    ...(digest !== undefined && { digest }),
  };
  const suffix = `${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`;
  return { ...moved, asWritten: `${repositoryName({ ...moved, asWritten: "" })}${suffix}` };
}
