import { LRUCache } from "lru-cache";
import { type Digest, type ImageReference, isDigest } from "../../core/image/reference.ts";
import type { Keychain } from "../../core/policy/types.ts";
import { type Descriptor, parseManifest } from "../../core/registry/descriptor.ts";
import { nextLink } from "../../core/registry/link.ts";
import { ACCEPT_IMAGE, ACCEPT_MANIFEST, OCI_INDEX } from "../../core/registry/media-types.ts";
import { checkedManifest, digestOf, type FetchedManifest, MANIFEST_LIMIT, mismatch } from "./content.ts";
import type { IsPlainHttp } from "./endpoint.ts";
import { errorOf, RegistryError, type Target } from "./errors.ts";
import { Requests, type Source } from "./requests.ts";
import { type Answer, Transport, type TransportOptions } from "./transport.ts";

export type { FetchedManifest } from "./content.ts";

export interface RegistryClientOptions extends TransportOptions {
  /** Which registries speak plain HTTP; by the host's name (`isPlainHttpHost`) if absent. */
  readonly isPlainHttp?: IsPlainHttp;
}

/** What refers to a manifest. `complete` is false when there was more than is read. */
export interface Referrers {
  readonly descriptors: readonly Descriptor[];
  readonly complete: boolean;
}

/**
 * A client of the OCI distribution API v1.1, for reading. What it promises against any registry, broken or hostile:
 *
 * - every request is bounded in bytes and in time, by the caller's signal and by its own deadline for each attempt;
 * - what has a digest is checked against it; a tag's manifest is checked against `Docker-Content-Digest`, if there is one;
 * - manifests, referrers and tokens come from the registry's own host, never through a redirect to another; blobs may come from
 *   another host, over https and without credentials (`decideRedirect`); credentials go to the registry and to its own token service
 *   only (`decideRealm`); no connection is made to link-local addresses, nor to a closer network than the registry's own when the
 *   registry names the host;
 * - GET and HEAD alone; two retries at most, on broken connections, 502 to 504, and 429 with a `Retry-After` of 5 s or less.
 *
 * All methods throw `RegistryError`.
 */
export interface RegistryClient {
  /** The digest that the reference's tag (`latest` if none) names now; a reference with a digest costs no request. */
  resolve(reference: ImageReference, keychain: Keychain, signal: AbortSignal): Promise<Digest>;
  /** A manifest by tag or digest, 4 MiB at most. */
  manifest(source: Source, reference: string, signal: AbortSignal): Promise<FetchedManifest>;
  /** A small blob: more than `limit` bytes is RESPONSE_TOO_LARGE. */
  blob(source: Source, digest: Digest, limit: number, signal: AbortSignal): Promise<Buffer>;
  /** Referrers of `digest` by the API, or by the fallback tag `sha256-<hex>` where the API is missing or knows none. */
  referrers(source: Source, digest: Digest, signal: AbortSignal): Promise<Referrers>;
  /** Ends all connections. */
  close(): Promise<void>;
}

const PAGES = 8;
const REFERRERS = 1_000;
const REFERRERS_BYTES = 4 * 1024 * 1024;
const API_MISSING_KEPT_MS = 600_000;
const REGISTRIES_REMEMBERED = 1_000;

function garbage(target: Target, what: string): RegistryError {
  return new RegistryError(
    "RESPONSE_MALFORMED",
    target,
    `the registry answered with something that is no ${what}; check that the host is a registry`,
  );
}

/** A page's address relative to the repository; only a page of the same listing is one. */
function nextPath(source: Source, digest: Digest, answer: Answer): string | undefined {
  const link = nextLink(answer.header("link") ?? "");
  if (link === undefined) return undefined;
  const base = new URL(`http://registry.invalid/v2/${source.repository}/referrers/${digest}`);
  // An absolute URL is reduced to its path: the next page is asked of the registry itself, whatever host the link names.
  const next = URL.canParse(link, base.href) ? new URL(link, base) : undefined;
  if (next?.pathname !== base.pathname) throw garbage(source, "next page of the referrers it lists");
  return `referrers/${digest}${next.search}`;
}

class Client implements RegistryClient {
  readonly #transport: Transport;
  readonly #requests: Requests;
  // Registries that have no referrers API but do hold a fallback tag: both are needed to know, for 404 can also mean "no such repository".
  readonly #withoutApi = new LRUCache<string, true>({ max: REGISTRIES_REMEMBERED, ttl: API_MISSING_KEPT_MS });

  constructor(options: RegistryClientOptions) {
    this.#transport = new Transport(options);
    this.#requests = new Requests(this.#transport, options.isPlainHttp);
  }

  async resolve(reference: ImageReference, keychain: Keychain, signal: AbortSignal): Promise<Digest> {
    if (reference.digest !== undefined) return reference.digest;
    const source = { registry: reference.registry, repository: reference.repository, keychain };
    const tag = reference.tag ?? "latest";
    const answer = await this.#requests.ask({
      operation: "resolve",
      source,
      method: "HEAD",
      path: `manifests/${tag}`,
      accept: ACCEPT_IMAGE,
      limit: 0,
      subject: "metadata",
      signal,
    });
    if (answer.status === 404) throw errorOf(source, answer, false);
    const digest = answer.header("docker-content-digest");
    if (answer.status === 200 && digest !== undefined && isDigest(digest)) return digest;
    return (await this.#manifest(source, tag, ACCEPT_IMAGE, signal)).digest;
  }

  manifest(source: Source, reference: string, signal: AbortSignal): Promise<FetchedManifest> {
    return this.#manifest(source, reference, `${ACCEPT_MANIFEST}, ${OCI_INDEX};q=0.5, */*;q=0.1`, signal);
  }

  async #manifest(source: Source, reference: string, accept: string, signal: AbortSignal): Promise<FetchedManifest> {
    const answer = await this.#requests.ask({
      operation: "manifest",
      source,
      method: "GET",
      path: `manifests/${reference}`,
      accept,
      limit: MANIFEST_LIMIT,
      subject: "metadata",
      signal,
    });
    return checkedManifest(source, reference, answer);
  }

  async blob(source: Source, digest: Digest, limit: number, signal: AbortSignal): Promise<Buffer> {
    const answer = await this.#requests.ask({
      operation: "blob",
      source,
      method: "GET",
      path: `blobs/${digest}`,
      accept: "*/*",
      limit,
      subject: "blob",
      signal,
    });
    if (answer.status !== 200) throw errorOf(source, answer, false);
    if (digestOf(answer.body) !== digest) throw mismatch(source, `the blob ${digest}`);
    return answer.body;
  }

  async referrers(source: Source, digest: Digest, signal: AbortSignal): Promise<Referrers> {
    const known = this.#withoutApi.has(source.registry);
    const listed = known ? undefined : await this.#listed(source, digest, signal);
    if (listed !== undefined && listed.descriptors.length > 0) return listed;
    const tagged = await this.#tagged(source, digest, signal);
    if (listed === undefined && tagged !== undefined) this.#withoutApi.set(source.registry, true);
    return tagged ?? { descriptors: [], complete: true };
  }

  /** By the API; undefined where there is none (404, or 400 and 405 as some registries say it). */
  async #listed(source: Source, digest: Digest, signal: AbortSignal): Promise<Referrers | undefined> {
    const descriptors: Descriptor[] = [];
    let bytes = 0;
    let path: string | undefined = `referrers/${digest}`;
    for (let page = 0; page < PAGES && path !== undefined; page++) {
      const answer: Answer = await this.#requests.ask({
        operation: "referrers",
        source,
        method: "GET",
        path,
        accept: OCI_INDEX,
        limit: REFERRERS_BYTES - bytes,
        subject: "metadata",
        signal,
      });
      if (page === 0 && [400, 404, 405].includes(answer.status)) return undefined;
      if (answer.status !== 200) throw errorOf(source, answer, false);
      const index = parseManifest(answer.body.toString("utf8"));
      if (index === undefined) throw garbage(source, "list of referrers");
      descriptors.push(...index.manifests);
      bytes += answer.body.length;
      path = nextPath(source, digest, answer);
      if (descriptors.length >= REFERRERS) break;
    }
    return {
      descriptors: descriptors.slice(0, REFERRERS),
      complete: path === undefined && descriptors.length <= REFERRERS,
    };
  }

  /** By the fallback tag; undefined where there is none. */
  async #tagged(source: Source, digest: Digest, signal: AbortSignal): Promise<Referrers | undefined> {
    const tag = digest.replace(":", "-");
    const answer = await this.#requests.ask({
      operation: "referrers",
      source,
      method: "GET",
      path: `manifests/${tag}`,
      accept: OCI_INDEX,
      limit: REFERRERS_BYTES,
      subject: "metadata",
      signal,
    });
    if (answer.status === 404) return undefined;
    const index = parseManifest(checkedManifest(source, tag, answer).bytes.toString("utf8"));
    if (index === undefined) throw garbage(source, "image index");
    return { descriptors: index.manifests.slice(0, REFERRERS), complete: index.manifests.length <= REFERRERS };
  }

  close(): Promise<void> {
    return this.#transport.close();
  }
}

/** A registry client with its own connections, tokens and memory; one per process is enough. */
export function createRegistryClient(options: RegistryClientOptions = {}): RegistryClient {
  return new Client(options);
}
