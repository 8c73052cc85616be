/** Headers by lower-case name, as node and undici give them. */
export type HeaderMap = Readonly<Record<string, string | readonly string[] | undefined>>;

/** What a client may tell the backend. Never Authorization or Cookie: the cache's own credentials pull, not the client's. */
const REQUEST_HEADERS = [
  "range",
  "if-range",
  "if-match",
  "if-none-match",
  "if-modified-since",
  "if-unmodified-since",
] as const;

/** What the backend may tell a client. Hop-by-hop headers (RFC 9110 section 7.6.1) and everything unknown stay behind. */
const RESPONSE_HEADERS = [
  "accept-ranges",
  "cache-control",
  "content-length",
  "content-range",
  "content-type",
  "docker-content-digest",
  "docker-distribution-api-version",
  "etag",
  "last-modified",
  "oci-filters-applied",
] as const;

const HEADER_LIMIT = 4096;

/** The media types of manifests: Docker's and OCI's images and indexes. */
const MANIFEST_TYPES = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.docker.distribution.manifest.v2+json",
].join(", ");

function single(value: string | readonly string[] | undefined): string | undefined {
  const text = typeof value === "string" ? value : value?.join(", ");
  return text === undefined || text.length > HEADER_LIMIT ? undefined : text;
}

function pick(headers: HeaderMap, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name): [string, string][] => {
      const value = single(headers[name]);
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

/**
 * The `Accept` that goes to the backend. CNCF distribution v3 does not read wildcards and answers 404 for an OCI manifest to a client
 * that takes anything (as curl does), so a client without an `Accept`, or with a wildcard in it, is given the manifest types by name.
 */
function acceptFor(headers: HeaderMap): string {
  const accept = single(headers["accept"]);
  if (accept === undefined) return MANIFEST_TYPES;
  return /(?:^|[\s,])(?:\*|application)\/\*/.test(accept) ? `${MANIFEST_TYPES}, ${accept}` : accept;
}

/**
 * Without what must be ignored (RFC 9110 section 14.2) and is not by CNCF distribution: `Range` on HEAD, which it answers with 206 where
 * the specification wants 200 and the whole length, and `Range` in other units than bytes, which it answers with 416.
 */
function withoutIdleRange(headers: Record<string, string>, method: "GET" | "HEAD"): Record<string, string> {
  const { range, ...rest } = headers;
  return range === undefined || method === "HEAD" || !/^bytes=/i.test(range) ? rest : { ...rest, range };
}

/** The headers of the request to the backend. `identity`: what is stored is sent as it is, because digests and ranges are of that. */
export function requestHeaders(client: HeaderMap, method: "GET" | "HEAD" = "GET"): Record<string, string> {
  return {
    ...withoutIdleRange(pick(client, REQUEST_HEADERS), method),
    accept: acceptFor(client),
    "accept-encoding": "identity",
    "user-agent": "entrepot-gateway",
  };
}

/** The headers of the answer to the client; `link` is not among them, because it must be rewritten. */
export function responseHeaders(backend: HeaderMap): Record<string, string> {
  return pick(backend, RESPONSE_HEADERS);
}

/** The one value of a header, or undefined. */
export function headerOf(headers: HeaderMap, name: string): string | undefined {
  return single(headers[name]);
}
