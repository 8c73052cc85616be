import { type AccessPolicy, accessPolicy, type RegistryView } from "../core/gateway/policy.ts";

/** Where the CacheRegistry comes from: an informer, or a test. */
export interface RegistrySource<T extends RegistryView> {
  readonly hasSynced: boolean;
  get(name: string): T | undefined;
}

/**
 * What the CacheRegistry says of access at this moment. It outlives the API server, as the rules do: what was last known holds until
 * something newer is known. Before, and when there is no such object, nothing is known, and so nothing is served.
 */
export class RegistryPolicy<T extends RegistryView> {
  readonly #source: RegistrySource<T>;
  readonly #registry: string;
  readonly #own: ReadonlySet<string>;
  #read: { readonly object: T; readonly policy: AccessPolicy } | undefined;

  /** `own` are the user names of our own processes. */
  constructor(source: RegistrySource<T>, registry: string, own: ReadonlySet<string>) {
    this.#source = source;
    this.#registry = registry;
    this.#own = own;
  }

  get current(): AccessPolicy | undefined {
    const object = this.#source.hasSynced ? this.#source.get(this.#registry) : undefined;
    if (object === undefined) return undefined;
    if (this.#read?.object !== object) this.#read = { object, policy: accessPolicy(object, this.#own) };
    return this.#read.policy;
  }
}
