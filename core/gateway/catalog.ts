import type { RuleMapping } from "../cacherule/mapping.ts";
import { toCache } from "../cacherule/mapping.ts";
import { ancestors } from "../cacherule/pattern.ts";
import type { RouteTable } from "../cacherule/routes.ts";
import { parseObject } from "./pages.ts";
import { isRepositoryName } from "./request.ts";

/** A request for a page of the catalogue. */
export interface CatalogQuery {
  /** Names on the page at most. */
  readonly n: number;
  /** The page begins after this name, which need not exist. */
  readonly last?: string;
}

export type ParsedCatalogQuery =
  | { readonly ok: true; readonly query: CatalogQuery }
  | { readonly ok: false; readonly message: string };

/** Names on a page when the client asks for no number or a greater one; the rest is behind a `Link`. */
export const CATALOG_PAGE = 1000;

const PAGE_SIZE = /^[0-9]{1,6}$/;
/** Any text that could stand between two names; what is echoed in a Link needs no escaping. */
const LAST = /^[a-z0-9._/-]{1,255}$/;

/** The path of the catalogue: Docker's "Registry HTTP API V2", "Listing Repositories"; the OCI specification leaves it out. */
const CATALOG_PATH = "/v2/_catalog";

/**
 * The query of a request for the catalogue (`GET` or `HEAD` of `/v2/_catalog`, target as it came), or undefined for every other request.
 * No repository can be called so: a name begins with a letter or a digit.
 */
export function parseCatalogRequest(method: string, target: string): ParsedCatalogQuery | undefined {
  const [path = "", ...rest] = target.split("?");
  if (path !== CATALOG_PATH || (method !== "GET" && method !== "HEAD")) return undefined;
  const search = new URLSearchParams(rest.join("?"));
  const [size, last] = [search.get("n"), search.get("last") || null]; // distribution takes an empty `last` for none
  if (size !== null && !PAGE_SIZE.test(size)) return { ok: false, message: "n must be a number" };
  if (last !== null && !LAST.test(last)) return { ok: false, message: "last must be a repository name" };
  const n = size === null ? CATALOG_PAGE : Math.min(Number(size), CATALOG_PAGE);
  return { ok: true, query: { n, ...(last !== null && { last }) } };
}

/** One page of a registry's catalogue, or undefined when the text is none. What is no repository name is left out. */
export function readCatalog(body: string): readonly string[] | undefined {
  const names = parseObject(body)?.["repositories"];
  if (!Array.isArray(names)) return undefined;
  return names.filter((name): name is string => typeof name === "string" && isRepositoryName(name));
}

/** The rules by upstream host, so that a name finds its rules in time independent of their number. */
interface SourceIndex {
  readonly exact: ReadonlyMap<string, readonly RuleMapping[]>;
  readonly below: ReadonlyMap<string, readonly RuleMapping[]>;
}

function sourcesOf(table: RouteTable, host: string): SourceIndex {
  const exact = new Map<string, RuleMapping[]>();
  const below = new Map<string, RuleMapping[]>();
  for (const { mapping } of table.routes) {
    if (mapping.source.host !== host) continue;
    const index = mapping.source.wildcard ? below : exact;
    const known = index.get(mapping.source.path);
    if (known === undefined) index.set(mapping.source.path, [mapping]);
    else known.push(mapping);
  }
  return { exact, below };
}

/**
 * The names in the cache of repositories that the backend of upstream `host` holds: only those that a rule of the table declares and that
 * a pull by that name would get from there. A repository that two rules name has two names.
 */
export function catalogNames(table: RouteTable, host: string, repositories: Iterable<string>): ReadonlySet<string> {
  const { exact, below } = sourcesOf(table, host);
  const names = new Set<string>();
  for (const repository of repositories) {
    const rules = [
      ...(exact.get(repository) ?? []),
      ...ancestors(repository).flatMap((prefix) => below.get(prefix) ?? []),
    ];
    for (const rule of rules) {
      const name = toCache(rule, host, repository);
      const upstream = name === undefined ? undefined : table.match(name)?.upstream;
      if (name !== undefined && upstream?.host === host && upstream.repository === repository) names.add(name);
    }
  }
  return names;
}

/** One page of a list of names in ascending order, and the `Link` (RFC 8288) to the next one where there is one. */
export function catalogPage(
  sorted: readonly string[],
  { n, last }: CatalogQuery,
): { readonly names: readonly string[]; readonly link?: string } {
  const start = last === undefined ? 0 : firstAfter(sorted, last);
  const names = sorted.slice(start, start + n);
  const end = names.at(-1);
  const more = end !== undefined && start + n < sorted.length;
  return { names, ...(more && { link: `<${CATALOG_PATH}?n=${n}&last=${encodeURIComponent(end)}>; rel="next"` }) };
}

function firstAfter(sorted: readonly string[], last: string): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? "") <= last) low = middle + 1;
    else high = middle;
  }
  return low;
}

const WARNING_LIMIT = 1024; // the specification allows 4096 bytes in all

/** A `Warning` header of the distribution specification v1.1 ("Warnings"). Texts name hosts and numbers: nothing that needs escaping. */
export function warningHeader(text: string): string {
  return `299 - "${text.replace(/[^\x20-\x7e]|["\\]/g, "").slice(0, WARNING_LIMIT)}"`;
}
