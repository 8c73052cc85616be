import { LRUCache } from "lru-cache";
import type { Digest, ImageReference } from "../../core/image/reference.ts";
import type { Keychain } from "../../core/policy/types.ts";
import { Lease } from "../lease.ts";
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
  readonly holds: () => boolean;
  readonly client: Lease<RegistryClient>;
}

/**
 * One client for all registries: hosts that are connected to in a way of their own (a gateway with its own certificate) have a client
 * each, which keeps its connections; all others are the given client's.
 */
export class RegistryClients implements RegistryClient {
  readonly #others: RegistryClient;
  readonly #options: RegistryClientOptions;
  readonly #hosts = new LRUCache<string, Known>({ max: HOSTS, dispose: ({ client }) => client.retire() });

  /** `options` are for the clients that are made here. */
  constructor(others: RegistryClient, options: Pick<RegistryClientOptions, "observe" | "attemptMs"> = {}) {
    this.#others = others;
    this.#options = options;
  }

  /** From now on, and while `holds` says so, its host is connected to in this way; requests under way end as they began. */
  use({ host, plainHTTP, ca, serverName }: Connection, holds: () => boolean): void {
    const trust = { ...(ca !== undefined && { ca }), ...(serverName !== undefined && { serverName }) };
    const way = wayOf({ host, plainHTTP, ...trust });
    const known = this.#hosts.get(host);
    if (known?.way === way && known.holds()) return;
    const client = createRegistryClient({ ...this.#options, isPlainHttp: () => plainHTTP, ...trust });
    this.#hosts.set(host, { way, holds, client: new Lease(client, (one) => one.close()) });
  }

  /** From now on its host is connected to as all others are. */
  useDefault(host: string): void {
    this.#hosts.delete(host);
  }

  async #of<T>(registry: string, ask: (client: RegistryClient) => Promise<T>): Promise<T> {
    const known = this.#hosts.get(registry);
    if (known?.holds() === true) return await known.client.use(ask);
    this.#hosts.delete(registry);
    return await ask(this.#others);
  }

  resolve(reference: ImageReference, keychain: Keychain, signal: AbortSignal): Promise<Digest> {
    return this.#of(reference.registry, (client) => client.resolve(reference, keychain, signal));
  }

  manifest(source: Source, reference: string, signal: AbortSignal): Promise<FetchedManifest> {
    return this.#of(source.registry, (client) => client.manifest(source, reference, signal));
  }

  blob(source: Source, digest: Digest, limit: number, signal: AbortSignal): Promise<Buffer> {
    return this.#of(source.registry, (client) => client.blob(source, digest, limit, signal));
  }

  referrers(source: Source, digest: Digest, signal: AbortSignal): Promise<Referrers> {
    return this.#of(source.registry, (client) => client.referrers(source, digest, signal));
  }

  /** Ends all connections, those of the given client too. */
  async close(): Promise<void> {
    const clients = [...this.#hosts.values()].map(({ client }) => client);
    await Promise.all([this.#others, ...clients].map((client) => client.close()));
  }
}
