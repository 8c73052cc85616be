import type { ServerResponse } from "node:http";
import type { RouteTable } from "../core/cacherule/routes.ts";
import {
  catalogNames,
  catalogPage,
  type ParsedCatalogQuery,
  readCatalog,
  warningHeader,
} from "../core/gateway/catalog.ts";
import { rulesNotLoaded } from "../core/gateway/errors.ts";
import { headerOf } from "../core/gateway/headers.ts";
import { PRIVATE_HEADER } from "../core/gatewayaccess/names.ts";
import { asBackendError, BackendError, type Backends } from "./backend.ts";
import { readText } from "./body.ts";
import type { Outcome } from "./proxy.ts";
import { sendError, sendJson } from "./respond.ts";

/** How much is asked of one backend's catalogue, and how long an answer serves. */
export interface CatalogLimits {
  /** Names on one page of a backend; CNCF distribution refuses more than its `catalog.maxentries`, by default 1000. */
  readonly pageNames: number;
  readonly pages: number;
  readonly pageBytes: number;
  /** For all pages of one backend: it walks through its storage for each. */
  readonly totalMs: number;
  /** How long a list is used again, so that a client that reads page after page costs one walk. */
  readonly keepMs: number;
}

export const CATALOG_LIMITS: CatalogLimits = {
  pageNames: 1000,
  pages: 20,
  pageBytes: 512 * 1024,
  totalMs: 10_000,
  keepMs: 2_000,
};

/** The repositories that one backend holds; `whole` is false when there are more than the limits allow to read. */
interface Listing {
  readonly repositories: readonly string[];
  readonly whole: boolean;
  /** Whether the backend says that it reads its upstream with credentials. */
  readonly marked: boolean;
}

interface Kept {
  readonly listing: Promise<Listing>;
  readonly until: number;
}

/** Reads the catalogues of backends, each once at a time and at most every `keepMs`, however many clients ask. */
export class BackendCatalogs {
  readonly #backends: Backends;
  readonly #limits: CatalogLimits;
  readonly #kept = new Map<string, Kept>();

  constructor(backends: Backends, limits: CatalogLimits = CATALOG_LIMITS) {
    this.#backends = backends;
    this.#limits = limits;
  }

  /** What the backend at `origin` holds, now or `keepMs` ago. Rejects with a `BackendError`; a failure is not kept. */
  list(origin: string): Promise<Listing> {
    const now = performance.now();
    for (const [key, { until }] of this.#kept) if (until <= now) this.#kept.delete(key);
    const known = this.#kept.get(origin);
    if (known !== undefined) return known.listing;
    const listing = this.#read(origin);
    const kept = { listing, until: now + this.#limits.totalMs + this.#limits.keepMs };
    this.#kept.set(origin, kept);
    const settle = (until: number): void => {
      if (this.#kept.get(origin) === kept) this.#kept.set(origin, { listing, until });
    };
    listing.then(
      () => settle(performance.now() + this.#limits.keepMs),
      () => settle(0),
    );
    return listing;
  }

  async #read(origin: string): Promise<Listing> {
    const { pages, totalMs } = this.#limits;
    const repositories: string[] = [];
    let marked = false;
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), totalMs);
    try {
      for (let page = 0; page < pages; page += 1) {
        const { names, more, isMarked } = await this.#page(origin, repositories.at(-1), late.signal);
        repositories.push(...names);
        marked ||= isMarked;
        if (!more || names.length === 0) return { repositories, whole: !more, marked };
      }
      return { repositories, whole: false, marked };
    } catch (thrown) {
      if (!late.signal.aborted) throw asBackendError(thrown);
      throw new BackendError("BACKEND_TIMEOUT", `its backend did not list its repositories within ${totalMs / 1000} s`);
    } finally {
      clearTimeout(timer);
    }
  }

  async #page(
    origin: string,
    last: string | undefined,
    signal: AbortSignal,
  ): Promise<{ names: readonly string[]; more: boolean; isMarked: boolean }> {
    const { pageNames, pageBytes } = this.#limits;
    const query = new URLSearchParams({ n: String(pageNames), ...(last !== undefined && { last }) });
    const { status, headers, body } = await this.#backends.open({
      origin,
      method: "GET",
      path: `/v2/_catalog?${query}`,
      headers: { accept: "application/json", "accept-encoding": "identity", "user-agent": "entrepot-gateway" },
      signal,
    });
    const text = await readText(body, pageBytes);
    const names = status === 200 ? readCatalog(text) : undefined;
    if (names === undefined)
      throw new BackendError("BACKEND_MALFORMED", `its backend answers its catalogue with status ${status}`);
    return { names, more: headerOf(headers, "link") !== undefined, isMarked: PRIVATE_HEADER in headers };
  }
}

export interface CatalogOptions {
  /** The name of the CacheRegistry that is served. */
  readonly registry: string;
  /** The table of this moment; undefined before the rules are known. */
  readonly table: RouteTable | undefined;
  readonly catalogs: BackendCatalogs;
  /** The origin (scheme, host, port) of the proxy of an upstream host. */
  readonly originOf: (upstreamHost: string) => string;
  /**
   * Whether this client may know what is cached of an upstream (its host in canonical spelling): what it may not pull it does not see.
   * Asked once more with `marked` where the backend says that it has credentials, which the gateway may not have heard of.
   */
  readonly mayList: (upstreamHost: string, marked?: boolean) => boolean | Promise<boolean>;
}

interface Collected {
  readonly names: readonly string[];
  /** What the list lacks, for a person. */
  readonly gaps: readonly string[];
  readonly problem?: string;
  /** Backends were asked and none answered: an empty list would be a claim that nobody made. */
  readonly nothingKnown: boolean;
}

async function collect({ catalogs, originOf, mayList }: CatalogOptions, routes: RouteTable): Promise<Collected> {
  const hosts: string[] = [];
  for (const host of new Set(routes.routes.map(({ mapping }) => mapping.source.host)))
    if (await mayList(host)) hosts.push(host);
  const names = new Set<string>();
  const gaps: string[] = [];
  let problem: string | undefined;
  let answered = 0;
  const read = async (host: string): Promise<void> => {
    try {
      const { repositories, whole, marked } = await catalogs.list(originOf(host));
      answered += 1;
      if (marked && !(await mayList(host, true))) return;
      for (const name of catalogNames(routes, host, repositories)) names.add(name);
      if (!whole) gaps.push(`the list for upstream ${host} ends after ${repositories.length} repositories`);
    } catch (thrown) {
      const error = asBackendError(thrown);
      problem = error.code;
      gaps.push(`what is cached of upstream ${host} is not listed: ${error.message}`);
    }
  };
  await Promise.all(hosts.map(read));
  return {
    names: [...names].sort(),
    gaps: gaps.sort(),
    nothingKnown: hosts.length > 0 && answered === 0,
    ...(problem !== undefined && { problem }),
  };
}

/**
 * Serves a page of the catalogue: the names, in ascending order, of repositories of which something was pulled before (a rule alone
 * makes no name), that a declared rule names and whose upstream the client may list. Where a backend does not answer the rest is served
 * with a `Warning` (distribution specification, "Warnings") that says what is missing; where none answers that is an error. Never rejects.
 */
export async function serveCatalog(
  options: CatalogOptions,
  parsed: ParsedCatalogQuery,
  res: ServerResponse,
): Promise<Outcome> {
  if (!parsed.ok) {
    sendError(res, { status: 400, code: "UNSUPPORTED", message: parsed.message });
    return { bytes: 0 };
  }
  if (options.table === undefined) {
    sendError(res, rulesNotLoaded(options.registry));
    return { bytes: 0 };
  }
  const { names: all, gaps, problem, nothingKnown } = await collect(options, options.table);
  const failed = problem !== undefined && { problem };
  if (nothingKnown) {
    sendError(res, { status: 502, code: "UNKNOWN", message: `the cache cannot say what it holds: ${gaps.join("; ")}` });
    return { bytes: 0, ...failed };
  }
  const { names, link } = catalogPage(all, parsed.query);
  const body = JSON.stringify({ repositories: names });
  sendJson(res, 200, body, {
    ...(link !== undefined && { link }),
    ...(gaps.length > 0 && { warning: warningHeader(gaps.join("; ")) }),
  });
  return { bytes: res.req.method === "HEAD" ? 0 : Buffer.byteLength(body), ...failed };
}
