import { fieldsOf, parseJson } from "../../core/json.ts";
import { nextLink } from "../../core/registry/link.ts";
import { errorOf, RegistryError } from "./errors.ts";
import type { Requests, Source } from "./requests.ts";
import type { Answer, Operation } from "./transport.ts";

/** Names that a registry lists. `complete` is false when there are more than are read. */
export interface Listing {
  readonly names: readonly string[];
  readonly complete: boolean;
}

const PAGE_SIZE = 1_000;
const PAGE_BYTES = 4 * 1024 * 1024;
const LISTING_BYTES = 16 * 1024 * 1024;

function garbage(source: Source, what: string): RegistryError {
  const why = `the registry answered with something that is no ${what}; check that the host is a registry`;
  return new RegistryError("RESPONSE_MALFORMED", source, why);
}

/** The query of the next page. Registries write the link in many ways: of its address only the query counts, and only of the same list. */
function nextPage(source: Source, path: string, answer: Answer): string | undefined {
  const link = nextLink(answer.header("link") ?? "");
  if (link === undefined) return undefined;
  const base = new URL(`http://registry.invalid/v2/${source.repository === "" ? "" : `${source.repository}/`}${path}`);
  const next = URL.canParse(link, base.href) ? new URL(link, base) : undefined;
  if (next?.pathname !== base.pathname) throw garbage(source, `next page of ${path}`);
  return next.search;
}

interface Wanted {
  readonly operation: Extract<Operation, "tags" | "catalog">;
  readonly path: string;
  /** The field of the answer that has the names. */
  readonly field: "tags" | "repositories";
  readonly limit: number;
  readonly isName: (text: string) => boolean;
}

function namesOf(source: Source, wanted: Wanted, answer: Answer): readonly unknown[] {
  const names = fieldsOf(parseJson(answer.body.toString("utf8")))?.[wanted.field];
  if (names === null) return []; // Go's empty slice
  if (!Array.isArray(names)) throw garbage(source, `list of ${wanted.field}`);
  return names;
}

/**
 * Reads a list page by page: `limit` names at most, 4 MiB a page and 16 MiB in all. What is no name by the specification's grammar is left
 * out. Ends when a page brings nothing new, whatever it links to. Throws `RegistryError`; RESPONSE_TOO_LARGE for a page that is.
 */
export async function readListing(
  requests: Requests,
  source: Source,
  wanted: Wanted,
  signal: AbortSignal,
): Promise<Listing> {
  const names = new Set<string>();
  let bytes = 0;
  let query: string | undefined = `?n=${PAGE_SIZE}`;
  while (query !== undefined) {
    const answer: Answer = await requests.ask({
      operation: wanted.operation,
      source,
      method: "GET",
      path: `${wanted.path}${query}`,
      accept: "application/json",
      limit: PAGE_BYTES,
      subject: "metadata",
      signal,
    });
    if (answer.status !== 200) throw errorOf(source, answer, false);
    const before = names.size;
    for (const name of namesOf(source, wanted, answer)) {
      if (typeof name !== "string" || !wanted.isName(name)) continue;
      if (names.size >= wanted.limit && !names.has(name)) return { names: [...names], complete: false };
      names.add(name);
    }
    bytes += answer.body.length;
    query = nextPage(source, wanted.path, answer);
    if (names.size === before) break;
    if (bytes >= LISTING_BYTES) return { names: [...names], complete: query === undefined };
  }
  return { names: [...names], complete: true };
}
