import { createHash } from "node:crypto";
import { type Digest, isDigest, parseReference } from "../../core/image/reference.ts";
import { ACCEPT_IMAGE } from "../../core/registry/media-types.ts";
import { checkedManifest, type FetchedManifest, MANIFEST_LIMIT, mismatch } from "./content.ts";
import type { IsPlainHttp } from "./endpoint.ts";
import { errorOf } from "./errors.ts";
import { type Listing, readListing } from "./listing.ts";
import { type Ask, Requests, type Source } from "./requests.ts";
import { Transport, type TransportOptions } from "./transport.ts";

export interface PullerOptions extends TransportOptions {
  readonly isPlainHttp?: IsPlainHttp;
}

/**
 * Pulls as a node's runtime does, and keeps nothing of it: what comes through a cache is in the cache then. The promises are those of
 * `RegistryClient`, and all methods throw `RegistryError`.
 */
export interface Puller {
  /** The repository's tags, at most `limit` of them. */
  tags(source: Source, limit: number, signal: AbortSignal): Promise<Listing>;
  /** The registry's repositories, at most `limit`. Registries that want a token mostly refuse: ours are for one repository. */
  catalog(source: Omit<Source, "repository">, limit: number, signal: AbortSignal): Promise<Listing>;
  /** The digest that a tag names now, undefined when there is no such tag. */
  resolve(source: Source, tag: string, signal: AbortSignal): Promise<Digest | undefined>;
  /** The manifest of an image or an index by tag or digest, 4 MiB at most. */
  manifest(source: Source, reference: string, signal: AbortSignal): Promise<FetchedManifest>;
  /** Reads a blob to its end: DIGEST_MISMATCH unless it is of this size and digest. It may take as long as bytes come. */
  verifyBlob(source: Source, digest: Digest, size: number, signal: AbortSignal): Promise<void>;
  /** Ends all connections. */
  close(): Promise<void>;
}

const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/; // OCI distribution specification v1.1, "Pulling manifests"

function isRepositoryName(text: string): boolean {
  try {
    return parseReference(`localhost/${text}`).repository === text;
  } catch {
    return false;
  }
}

class HttpPuller implements Puller {
  readonly #transport: Transport;
  readonly #requests: Requests;

  constructor(options: PullerOptions) {
    this.#transport = new Transport(options);
    this.#requests = new Requests(this.#transport, options.isPlainHttp);
  }

  tags(source: Source, limit: number, signal: AbortSignal): Promise<Listing> {
    const isName = (text: string): boolean => TAG.test(text);
    const wanted = { operation: "tags", path: "tags/list", field: "tags", limit, isName } as const;
    return readListing(this.#requests, source, wanted, signal);
  }

  catalog(source: Omit<Source, "repository">, limit: number, signal: AbortSignal): Promise<Listing> {
    const isName = isRepositoryName;
    const wanted = { operation: "catalog", path: "_catalog", field: "repositories", limit, isName } as const;
    return readListing(this.#requests, { ...source, repository: "" }, wanted, signal);
  }

  async resolve(source: Source, tag: string, signal: AbortSignal): Promise<Digest | undefined> {
    const ask: Ask = {
      operation: "resolve",
      source,
      method: "HEAD",
      path: `manifests/${tag}`,
      accept: ACCEPT_IMAGE,
      limit: 0,
      subject: "metadata",
      signal,
    };
    const answer = await this.#requests.ask(ask);
    if (answer.status === 404) return undefined;
    if (answer.status !== 200) throw errorOf(source, answer, false);
    const digest = answer.header("docker-content-digest");
    if (digest !== undefined && isDigest(digest)) return digest;
    return (await this.manifest(source, tag, signal)).digest;
  }

  async manifest(source: Source, reference: string, signal: AbortSignal): Promise<FetchedManifest> {
    const answer = await this.#requests.ask({
      operation: "manifest",
      source,
      method: "GET",
      path: `manifests/${reference}`,
      accept: ACCEPT_IMAGE,
      limit: MANIFEST_LIMIT,
      subject: "metadata",
      signal,
    });
    return checkedManifest(source, reference, answer);
  }

  async verifyBlob(source: Source, digest: Digest, size: number, signal: AbortSignal): Promise<void> {
    let hash = createHash("sha256");
    let length = 0;
    // An attempt that broke off is made again from the beginning.
    const sink = () => {
      hash = createHash("sha256");
      length = 0;
      return (chunk: Buffer): void => {
        hash.update(chunk);
        length += chunk.length;
      };
    };
    const answer = await this.#requests.ask({
      operation: "blob",
      source,
      method: "GET",
      path: `blobs/${digest}`,
      accept: "*/*",
      limit: size,
      subject: "blob",
      signal,
      sink,
    });
    if (answer.status !== 200) throw errorOf(source, answer, false);
    if (length !== size || `sha256:${hash.digest("hex")}` !== digest) throw mismatch(source, `the blob ${digest}`);
  }

  close(): Promise<void> {
    return this.#transport.close();
  }
}

/** A puller with its own connections and tokens. */
export function createPuller(options: PullerOptions = {}): Puller {
  return new HttpPuller(options);
}
