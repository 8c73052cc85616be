import { methodUnsupported, type OciError } from "./errors.ts";

/** What a client asks of the registry API, checked: every part has the grammar of the distribution specification. */
export type RegistryRequest =
  | { readonly kind: "ping" }
  | { readonly kind: "manifest"; readonly repository: string; readonly reference: string }
  | { readonly kind: "blob"; readonly repository: string; readonly reference: string }
  | { readonly kind: "tags"; readonly repository: string; readonly query: string }
  | { readonly kind: "referrers"; readonly repository: string; readonly reference: string; readonly query: string };

/** A request about one repository. */
export type RepositoryRequest = Exclude<RegistryRequest, { kind: "ping" }>;

export type ParsedRequest =
  | { readonly ok: true; readonly request: RegistryRequest }
  | { readonly ok: false; readonly error: OciError };

// OCI distribution specification v1.1, "Pulling manifests"; the length limits are Docker's, which every registry shares.
const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
// OCI image specification v1.1, "Registered algorithms": what registries and clients can check.
const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;
const REPOSITORY_LIMIT = 255;
/** The longest legal path is a repository of 255 characters and a sha512 digest; a query adds a page position. */
const TARGET_LIMIT = 1024;
const ARTIFACT_TYPES_LIMIT = 10;
/** A page position is a tag or what a registry made of one. */
const LAST = /^[A-Za-z0-9_][A-Za-z0-9._:=+/-]{0,255}$/;
const PAGE_SIZE = /^[0-9]{1,6}$/;
/** How registries say in a `Link` where the next page of referrers begins; the specification leaves it to them. */
const REFERRERS_POSITION = ["n", "last", "nextToken", "next_page"] as const;
/** RFC 6838 section 4.2 media types. */
const MEDIA_TYPE = /^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}\/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$/;

function refuse(status: number, code: OciError["code"], message: string): ParsedRequest {
  return { ok: false, error: { status, code, message } };
}

function notARegistryPath(): ParsedRequest {
  return refuse(
    404,
    "UNSUPPORTED",
    "this registry serves /v2/, manifests, blobs, tags/list and referrers, and nothing else",
  );
}

/** Whether `name` is a repository name of the specification. */
export function isRepositoryName(name: string): boolean {
  return name.length <= REPOSITORY_LIMIT && name.split("/").every((part) => COMPONENT.test(part));
}

/** Whether `text` is a digest of a registered algorithm. */
export function isContentDigest(text: string): boolean {
  return DIGEST.test(text);
}

function tagsQuery(search: URLSearchParams): string | undefined {
  const size = search.get("n");
  const last = search.get("last");
  if ((size !== null && !PAGE_SIZE.test(size)) || (last !== null && !LAST.test(last))) return undefined;
  return new URLSearchParams({ ...(size !== null && { n: size }), ...(last !== null && { last }) }).toString();
}

function referrersQuery(search: URLSearchParams): string | undefined {
  const types = search.getAll("artifactType");
  if (types.length > ARTIFACT_TYPES_LIMIT || !types.every((type) => MEDIA_TYPE.test(type))) return undefined;
  const query = new URLSearchParams();
  for (const type of types) query.append("artifactType", type);
  for (const name of REFERRERS_POSITION) {
    const value = search.get(name);
    if (value !== null && !LAST.test(value)) return undefined;
    if (value !== null) query.append(name, value);
  }
  return query.toString();
}

function readEndpoint(repository: string, kind: string, last: string, search: URLSearchParams): ParsedRequest {
  if (kind === "tags") {
    const query = last === "list" ? tagsQuery(search) : undefined;
    if (last !== "list") return notARegistryPath();
    if (query === undefined) return refuse(400, "UNSUPPORTED", "n must be a number and last a tag");
    return { ok: true, request: { kind, repository, query } };
  }
  if (kind === "manifests") {
    // A reference with a colon can only be meant as a digest.
    if (last.includes(":") && !DIGEST.test(last)) return badDigest();
    if (!last.includes(":") && !TAG.test(last)) {
      return refuse(
        404,
        "MANIFEST_UNKNOWN",
        "the reference is neither a tag ([A-Za-z0-9_][A-Za-z0-9._-]{0,127}) nor a digest",
      );
    }
    return { ok: true, request: { kind: "manifest", repository, reference: last } };
  }
  if (!DIGEST.test(last)) return badDigest();
  if (kind === "blobs") return { ok: true, request: { kind: "blob", repository, reference: last } };
  const query = referrersQuery(search);
  if (query === undefined)
    return refuse(400, "UNSUPPORTED", "artifactType must be a media type, and a page position as the Link gave it");
  return { ok: true, request: { kind: "referrers", repository, reference: last, query } };
}

function badDigest(): ParsedRequest {
  return refuse(
    400,
    "DIGEST_INVALID",
    "the digest must be sha256: and 64, or sha512: and 128 lower-case hexadecimal digits",
  );
}

/**
 * Reads a request's method and target (path and query as they came, RFC 9112 origin form). Only what the specification names for
 * pulling is let through, in its one spelling: nothing is decoded, resolved or cleaned, so that what is matched against the rules is what
 * is sent on. A repository may itself have components called manifests, blobs or tags, so the path is read from its end.
 */
export function parseRegistryRequest(method: string, target: string): ParsedRequest {
  if (method !== "GET" && method !== "HEAD") return { ok: false, error: methodUnsupported(method.slice(0, 20)) };
  if (target.length > TARGET_LIMIT)
    return refuse(414, "NAME_INVALID", `the request target is longer than ${TARGET_LIMIT} characters`);
  const mark = target.indexOf("?");
  const path = mark < 0 ? target : target.slice(0, mark);
  if (path === "/v2/" || path === "/v2") return { ok: true, request: { kind: "ping" } };
  if (!path.startsWith("/v2/")) return notARegistryPath();
  const parts = path.slice("/v2/".length).split("/");
  const [kind, last] = [parts.at(-2), parts.at(-1)];
  const known = kind === "manifests" || kind === "blobs" || kind === "tags" || kind === "referrers";
  if (!known || last === undefined || parts.length < 3) return notARegistryPath();
  const repository = parts.slice(0, -2).join("/");
  if (!isRepositoryName(repository)) {
    return refuse(
      400,
      "NAME_INVALID",
      "the repository name must be lower-case path components of letters and digits joined by . _ - or /",
    );
  }
  return readEndpoint(repository, kind, last, new URLSearchParams(mark < 0 ? "" : target.slice(mark + 1)));
}

/** The path and query of the same request under another repository name. The parts are checked, so nothing needs escaping. */
export function formatRegistryPath(request: RepositoryRequest, repository: string): string {
  switch (request.kind) {
    case "manifest":
      return `/v2/${repository}/manifests/${request.reference}`;
    case "blob":
      return `/v2/${repository}/blobs/${request.reference}`;
    case "tags":
      return `/v2/${repository}/tags/list${request.query === "" ? "" : `?${request.query}`}`;
    case "referrers":
      return `/v2/${repository}/referrers/${request.reference}${request.query === "" ? "" : `?${request.query}`}`;
    default:
      return request satisfies never;
  }
}
