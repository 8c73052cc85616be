import { hashKey } from "../../core/hashkey.ts";

/**
 * Clients of registry products, one for each CacheRegistry, opened when it is first needed and again when what it was opened with
 * changed: an address, a role, the content of a Secret.
 */
export class Sessions<T> {
  readonly #open = new Map<string, { readonly key: string; readonly session: Promise<T> }>();

  /** `from` is everything that the session depends on. It may hold secrets: only its hash is kept. */
  async of(registry: string, from: unknown, open: () => Promise<T>): Promise<T> {
    const key = hashKey(from);
    const known = this.#open.get(registry);
    if (known?.key === key) return await known.session;
    const session = open();
    this.#open.set(registry, { key, session });
    try {
      return await session;
    } catch (thrown) {
      if (this.#open.get(registry)?.session === session) this.#open.delete(registry);
      throw thrown;
    }
  }
}
