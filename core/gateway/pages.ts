import { formatRegistryPath, parseRegistryRequest, type RepositoryRequest } from "./request.ts";

/** The parameters after the target of a link. */
const NEXT = /^<([^<>]{1,2048})>\s*;\s*rel="?next"?\s*$/;

/**
 * The `Link` to the next page (distribution specification, "Listing tags"; RFC 8288) with the repository called `repository`. Undefined
 * when the backend's link is not the next page of the same request: then the answer is an error, because without its link a list
 * would look complete. The link is relative, so that it holds whatever host the client knows the cache by.
 */
export function rewriteNextLink(link: string, sent: RepositoryRequest, repository: string): string | undefined {
  const url = NEXT.exec(link)?.[1];
  if (url === undefined) return undefined;
  const parsed = parseRegistryRequest("GET", url.replace(/^https?:\/\/[^/?#]*/, ""));
  if (!parsed.ok || parsed.request.kind === "ping") return undefined;
  const next = parsed.request;
  const reference = (of: RepositoryRequest): string => ("reference" in of ? of.reference : "");
  const queryOf = (of: RepositoryRequest): string => ("query" in of ? of.query : "");
  if (next.kind !== sent.kind || next.repository !== sent.repository || reference(next) !== reference(sent))
    return undefined;
  // A position that was not understood is lost, and the client would read the same page for ever.
  if (queryOf(next) === queryOf(sent)) return undefined;
  return `<${formatRegistryPath(next, repository)}>; rel="next"`;
}

/** Where the tags begin that a client asks for, and whether its backend has sent the whole list. */
export interface Start {
  readonly last: string;
  readonly isWhole: boolean;
}

/**
 * Where a list begins that a client asks for. CNCF distribution in proxy mode leaves `last` to the upstream where the request has an `n`,
 * and sends the whole list where it has none.
 */
export function startOf({ query }: { readonly query: string }): Start | undefined {
  const asked = new URLSearchParams(query);
  const last = asked.get("last");
  return last === null ? undefined : { last, isWhole: !asked.has("n") };
}

/**
 * The tags after `last` ("beginning non-inclusively with <tagname>"). An upstream that heeds it never sends that tag again, in whatever
 * order its tags are. A `last` that is no tag has a place only in a whole list that is in order.
 */
function tagsAfter(tags: readonly string[], { last, isWhole }: Start): readonly string[] {
  const place = tags.indexOf(last);
  if (place >= 0) return tags.slice(place + 1);
  const inOrder = isWhole && tags.every((tag, index) => index === 0 || (tags[index - 1] ?? "") < tag);
  return inOrder ? tags.filter((tag) => tag > last) : tags;
}

/**
 * A tags list (distribution specification, "Listing tags") with its name replaced and nothing before its start, or undefined when the
 * text is none.
 */
export function renameTagsList(body: string, repository: string, start?: Start): string | undefined {
  const list = parseObject(body);
  const tags = list?.["tags"] ?? [];
  if (list === undefined || !Array.isArray(tags) || !tags.every((tag) => typeof tag === "string")) return undefined;
  return JSON.stringify({ name: repository, tags: start === undefined ? tags : tagsAfter(tags, start) });
}

/** A JSON object, or undefined when the text is none. */
export function parseObject(body: string): Record<string, unknown> | undefined {
  try {
    const parsed: unknown = JSON.parse(body);
    return typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)
      ? (parsed as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
