import type { Digest } from "../../core/image/reference.ts";
import { type Manifest, parseManifest } from "../../core/registry/descriptor.ts";
import { excerpt } from "../../core/registry/excerpt.ts";
import type { Referrers, RegistryClient } from "../registry/client.ts";
import { RegistryError } from "../registry/errors.ts";
import type { Source } from "../registry/requests.ts";
import { fingerprint } from "../registry/tokens.ts";
import { Shared } from "../shared.ts";

/** A list of referrers, and whether it was read earlier: then there may be more by now. */
export interface Listing extends Referrers {
  readonly remembered: boolean;
}

/** What a search needs of a registry. All throw `RegistryError`. */
export interface Reads {
  /** The manifest under a tag, which may name another one at any time. */
  tagged(source: Source, tag: string, signal: AbortSignal): Promise<Manifest>;
  /** The manifest with this digest: read once for everyone. */
  manifest(source: Source, digest: Digest, signal: AbortSignal): Promise<Manifest>;
  /** The same, byte for byte. */
  manifestBytes(source: Source, digest: Digest, signal: AbortSignal): Promise<Buffer>;
  blob(source: Source, digest: Digest, limit: number, signal: AbortSignal): Promise<Buffer>;
  /** What refers to `digest`: listed once for signatures and attestations. */
  referrers(source: Source, digest: Digest, signal: AbortSignal): Promise<Listing>;
}

const REMEMBERED = 256;
const LARGEST_LIST = 64;

function parsed(source: Source, reference: string, bytes: Buffer): Manifest {
  const manifest = parseManifest(bytes.toString("utf8"));
  if (manifest !== undefined) return manifest;
  const why = `the manifest ${excerpt(reference, 160)} cannot be read; sign the image again`;
  throw new RegistryError("RESPONSE_MALFORMED", source, why);
}

/** Who asks, and where: what one tenant may read says nothing about another. */
export function scopeOf({ registry, repository, keychain }: Source): readonly string[] {
  return [registry, repository, fingerprint(keychain.forRepository(registry, repository))];
}

/** Reads through a client; listings and referrers' manifests are shared, and remembered for `keepMs` if they are small. */
export class SharedReads implements Reads {
  readonly #client: RegistryClient;
  readonly #listings: Shared<Referrers>;
  readonly #manifests: Shared<Manifest>;

  constructor(client: RegistryClient, keepMs: number) {
    this.#client = client;
    const small = (count: number): number => (count > 0 && count <= LARGEST_LIST ? keepMs : 0);
    this.#listings = new Shared({ max: REMEMBERED, keepMs: ({ descriptors }) => small(descriptors.length) });
    this.#manifests = new Shared({ max: REMEMBERED, keepMs: ({ layers }) => small(layers.length) });
  }

  async tagged(source: Source, tag: string, signal: AbortSignal): Promise<Manifest> {
    return parsed(source, tag, (await this.#client.manifest(source, tag, signal)).bytes);
  }

  async manifest(source: Source, digest: Digest, signal: AbortSignal): Promise<Manifest> {
    const read = async (shared: AbortSignal): Promise<Manifest> =>
      parsed(source, digest, await this.manifestBytes(source, digest, shared));
    return (await this.#manifests.get(this.#key(source, digest), signal, read)).value;
  }

  async manifestBytes(source: Source, digest: Digest, signal: AbortSignal): Promise<Buffer> {
    return (await this.#client.manifest(source, digest, signal)).bytes;
  }

  blob(source: Source, digest: Digest, limit: number, signal: AbortSignal): Promise<Buffer> {
    return this.#client.blob(source, digest, limit, signal);
  }

  async referrers(source: Source, digest: Digest, signal: AbortSignal): Promise<Listing> {
    const read = (shared: AbortSignal): Promise<Referrers> => this.#client.referrers(source, digest, shared);
    const { value, remembered } = await this.#listings.get(this.#key(source, digest), signal, read);
    return { ...value, remembered };
  }

  /** Drops what is remembered of the referrers of `digest`. */
  forget(source: Source, digest: Digest): void {
    this.#listings.forget(this.#key(source, digest));
  }

  #key(source: Source, digest: Digest): string {
    return JSON.stringify([...scopeOf(source), digest]);
  }
}
