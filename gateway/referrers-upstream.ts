import { LRUCache } from "lru-cache";
import { startDeadline } from "../adapters/deadline.ts";
import { Lease } from "../adapters/lease.ts";
import { isRegistryError, type RegistryErrorCode } from "../adapters/registry/errors.ts";
import { type Ask, Requests, type Source } from "../adapters/registry/requests.ts";
import { type Answer, Transport } from "../adapters/registry/transport.ts";
import { isPlainHttp } from "../core/cacheregistry/upstream.ts";
import {
  nextReferrers,
  parseReferrers,
  REFERRERS_LIMITS,
  type Referrer,
  type ReferrersLimits,
  referrersTag,
} from "../core/gateway/referrers.ts";
import type { ReferrersFailure, ReferrersProblem } from "../core/gateway/referrers-errors.ts";
import { isIndexType, readTag } from "../core/gateway/referrers-tag.ts";
import type { Upstreams } from "../core/gatewayaccess/upstreams.ts";
import { OCI_INDEX } from "../core/registry/media-types.ts";

/** What a place says of what refers to a manifest. `none`: it has no such list; `failed`: it could not be asked. */
export type Listed =
  | { readonly kind: "list"; readonly referrers: readonly Referrer[]; readonly marked: boolean }
  | { readonly kind: "none"; readonly marked: boolean }
  | { readonly kind: "failed"; readonly failure: ReferrersFailure };

export interface UpstreamOptions {
  /** What upstreams are asked with, as of this moment; undefined where nothing is mounted. */
  readonly upstreams: () => Upstreams | undefined;
  /** Whether the CacheRegistry names credentials for an upstream: with them it is asked, or not at all. */
  readonly needsCredentials: (host: string) => boolean;
  readonly limits?: ReferrersLimits;
  /** For everything that one list takes. */
  readonly totalMs?: number;
}

/** A repository and the manifest in it that is referred to. */
export interface Subject {
  readonly host: string;
  readonly repository: string;
  readonly digest: string;
}

const TOTAL_MS = 15_000;
const CLIENTS = 256;
/** How registries say that they have no referrers API: the specification's 404, and what others answer in its place (ggcr, oras). */
const NO_API: ReadonlySet<number> = new Set([400, 404, 405, 406]);

const FAILURES: Readonly<Partial<Record<RegistryErrorCode, readonly [ReferrersProblem, string]>>> = {
  REGISTRY_TIMEOUT: ["UPSTREAM_TIMEOUT", "the upstream did not answer in time"],
  REGISTRY_UNAUTHORIZED: ["UPSTREAM_REFUSED", "the upstream refuses to say it to the cache"],
  REGISTRY_FORBIDDEN: ["UPSTREAM_REFUSED", "the upstream refuses to say it to the cache"],
  REGISTRY_THROTTLED: ["UPSTREAM_THROTTLED", "the upstream limits the rate of requests"],
  RESPONSE_TOO_LARGE: ["UPSTREAM_EXCESSIVE", "the upstream lists more than the cache reads"],
  RESPONSE_MALFORMED: ["UPSTREAM_MALFORMED", "the upstream does not answer as a registry does"],
  REGISTRY_REDIRECT: ["UPSTREAM_MALFORMED", "the upstream redirects elsewhere, which is never followed"],
};
const UNREACHABLE = ["UPSTREAM_UNREACHABLE", "the upstream cannot be reached, or failed"] as const;
const MALFORMED: ReferrersFailure = {
  problem: "UPSTREAM_MALFORMED",
  why: "the upstream lists referrers in a way that no registry does",
};

function failureOf(thrown: unknown): ReferrersFailure {
  const [problem, why] = (isRegistryError(thrown) ? FAILURES[thrown.code] : undefined) ?? UNREACHABLE;
  const retryAfterMs = isRegistryError(thrown) ? thrown.retryAfterMs : undefined;
  return { problem, why, ...(retryAfterMs !== undefined && { retryAfterMs }) };
}

/**
 * Asks upstreams themselves what refers to a manifest, for the proxies cannot: CNCF distribution in proxy mode has no referrers API. The
 * bounds are the registry client's (adapters/registry/transport.ts) and `REFERRERS_LIMITS`; credentials go to their own upstream and its
 * token service alone. Nothing of the clients' requests is sent but the digest. Nothing here rejects.
 */
export class UpstreamReferrers {
  readonly #options: UpstreamOptions;
  readonly #limits: ReferrersLimits;
  readonly #clients = new LRUCache<string, Client>({
    max: CLIENTS,
    dispose: ({ lease }) => lease.retire(),
  });

  constructor(options: UpstreamOptions) {
    this.#options = options;
    this.#limits = options.limits ?? REFERRERS_LIMITS;
  }

  /** By the referrers API; `none` where the upstream has none. */
  async list(subject: Subject, signal: AbortSignal): Promise<Listed> {
    return await this.#guarded(subject, signal, async (ask, marked) => {
      try {
        return await this.#pages(subject, ask, marked);
      } catch (thrown) {
        // Registries without the API send such a request on to a web page: registry.k8s.io did, and clients take it for "none".
        if (isRegistryError(thrown, "REGISTRY_REDIRECT")) return { kind: "none", marked };
        throw thrown;
      }
    });
  }

  /** By the referrers tag at the upstream; `none` when there is no such tag. */
  async tagged(subject: Subject, signal: AbortSignal): Promise<Listed> {
    return await this.#guarded(subject, signal, async (ask, marked) => {
      const answer = await ask(`manifests/${referrersTag(subject.digest)}`, this.#limits.bytes);
      const { status, body } = answer;
      const [contentType, announced] = [answer.header("content-type"), answer.header("docker-content-digest")];
      const read = readTag({ status, contentType, announced, body }, subject.digest);
      return read.kind === "failed" ? read : { ...read, marked };
    });
  }

  /** Ends all connections. */
  async close(): Promise<void> {
    await Promise.all([...this.#clients.values()].map(({ lease }) => lease.close()));
  }

  async #pages({ repository, digest }: Subject, ask: AskFor, marked: boolean): Promise<Listed> {
    const { pages, descriptors, bytes } = this.#limits;
    const referrers: Referrer[] = [];
    let path = `referrers/${digest}`;
    let left = bytes;
    for (let page = 0; page < pages; page++) {
      const answer = await ask(path, left);
      if (page === 0 && NO_API.has(answer.status)) return { kind: "none", marked };
      const isIndex = answer.status === 200 && isIndexType(answer.header("content-type"));
      const listed = isIndex ? parseReferrers(answer.body.toString("utf8")) : undefined;
      const { next, foreign } = nextReferrers(answer.header("link"), repository, path);
      if (listed === undefined || foreign) return { kind: "failed", failure: MALFORMED };
      referrers.push(...listed);
      left -= answer.body.length;
      if (referrers.length > descriptors) break;
      if (next === undefined) return { kind: "list", referrers, marked };
      path = next;
    }
    return { kind: "failed", failure: excessive(this.#limits) };
  }

  async #guarded(
    subject: Subject,
    signal: AbortSignal,
    work: (ask: AskFor, marked: boolean) => Promise<Listed>,
  ): Promise<Listed> {
    const { host, repository } = subject;
    const upstream = this.#options.upstreams()?.get(host);
    const isPrivate = this.#options.needsCredentials(host);
    const credentials = isPrivate ? upstream?.credentials : undefined; // what was read with them is for clients alone
    if (isPrivate && credentials === undefined) return { kind: "failed", failure: NOT_YET };
    const keychain = { forRepository: (registry: string) => (credentials && registry === host ? [credentials] : []) };
    const source: Source = { registry: host, repository, keychain };
    const { lease } = this.#client(host, upstream?.caBundle, upstream?.plainHTTP ?? isPlainHttp({ host }));
    using deadline = startDeadline(this.#options.totalMs ?? TOTAL_MS, signal);
    const fixed = { operation: "referrers", source, method: "GET", accept: OCI_INDEX, subject: "metadata" } as const;
    const working = lease.use(async ({ requests }) => {
      const ask: AskFor = async (path, limit) =>
        await requests.ask({ ...fixed, path, limit, signal: deadline.signal } satisfies Ask);
      return await work(ask, credentials !== undefined);
    });
    return await working.catch((thrown: unknown): Listed => ({ kind: "failed", failure: failureOf(thrown) }));
  }

  /** One client for each upstream. When it is to be reached in another way, the one before ends with what it still asks. */
  #client(host: string, ca: string | undefined, plainHttp: boolean): Client {
    const how = JSON.stringify([plainHttp, ca]);
    const known = this.#clients.get(host);
    if (known?.how === how) return known;
    const transport = new Transport(ca === undefined ? {} : { ca, caAlone: true });
    const asking = { transport, requests: new Requests(transport, () => plainHttp) };
    const client = { how, lease: new Lease(asking, async (one) => await one.transport.close()) };
    this.#clients.set(host, client);
    return client;
  }
}

interface Client {
  readonly how: string;
  readonly lease: Lease<{ readonly transport: Transport; readonly requests: Requests }>;
}

type AskFor = (path: string, limit: number) => Promise<Answer>;

const NOT_YET: ReferrersFailure = {
  problem: "UPSTREAM_CREDENTIALS",
  why: "the gateway has no credentials for the upstream: the Secret that the CacheRegistry names is missing or unusable, or not mounted yet (about a minute)",
};

function excessive({ pages, descriptors, bytes }: ReferrersLimits): ReferrersFailure {
  const why = `the upstream lists more than the cache reads (${descriptors} referrers, ${pages} pages, ${bytes} bytes)`;
  return { problem: "UPSTREAM_EXCESSIVE", why };
}
