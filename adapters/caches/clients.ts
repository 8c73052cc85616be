import { LRUCache } from "lru-cache";
import type { Digest, ImageReference } from "../../core/image/reference.ts";
import type { Keychain } from "../../core/policy/types.ts";
import {
  createRegistryClient,
  type FetchedManifest,
  type Referrers,
  type RegistryClient,
  type RegistryClientOptions,
} from "../registry/client.ts";
import type { Source } from "../registry/requests.ts";
import { type Connection, wayOf } from "./place.ts";

const HOSTS = 64;

interface Known {
  readonly way: string;
  readonly client: RegistryClient;
}

/**
 * One client for all registries: hosts that are connected to in a way of their own (a gateway with its own certificate) have a client
 * each, which keeps its connections; all others are the given client's.
 */
export class RegistryClients implements RegistryClient {
  readonly #others: RegistryClient;
  readonly #options: RegistryClientOptions;
  // Of a host that is connected to in another way than before, the client is replaced, and requests under way fail.
  readonly #hosts = new LRUCache<string, Known>({ max: HOSTS, dispose: ({ client }) => void client.close() });

  /** `options` are for the clients that are made here. */
  constructor(others: RegistryClient, options: Pick<RegistryClientOptions, "observe" | "attemptMs"> = {}) {
    this.#others = others;
    this.#options = options;
  }

  /** From now on its host is connected to in this way. */
  use({ host, plainHTTP, ca, serverName }: Connection): void {
    const way = wayOf({
      host,
      plainHTTP,
      ...(ca !== undefined && { ca }),
      ...(serverName !== undefined && { serverName }),
    });
    if (this.#hosts.get(host)?.way === way) return;
    const client = createRegistryClient({
      ...this.#options,
      isPlainHttp: () => plainHTTP,
      ...(ca !== undefined && { ca }),
      ...(serverName !== undefined && { serverName }),
    });
    this.#hosts.set(host, { way, client });
  }

  #of(registry: string): RegistryClient {
    return this.#hosts.get(registry)?.client ?? this.#others;
  }

  resolve(reference: ImageReference, keychain: Keychain, signal: AbortSignal): Promise<Digest> {
    return this.#of(reference.registry).resolve(reference, keychain, signal);
  }

  manifest(source: Source, reference: string, signal: AbortSignal): Promise<FetchedManifest> {
    return this.#of(source.registry).manifest(source, reference, signal);
  }

  blob(source: Source, digest: Digest, limit: number, signal: AbortSignal): Promise<Buffer> {
    return this.#of(source.registry).blob(source, digest, limit, signal);
  }

  referrers(source: Source, digest: Digest, signal: AbortSignal): Promise<Referrers> {
    return this.#of(source.registry).referrers(source, digest, signal);
  }

  /** Ends all connections, those of the given client too. */
  async close(): Promise<void> {
    const clients = [...this.#hosts.values()].map(({ client }) => client);
    await Promise.all([this.#others, ...clients].map((client) => client.close()));
  }
}
