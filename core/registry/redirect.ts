export type RedirectDecision =
  | { readonly kind: "follow"; readonly url: URL; readonly sameOrigin: boolean }
  | { readonly kind: "refuse"; readonly reason: string };

/** What is being read: `metadata` (manifests, referrers, tokens) decides what an image is; a `blob` is checked against its digest. */
export type RedirectSubject = "metadata" | "blob";

// registry.k8s.io serves nothing itself: it sends every manifest request to a regional Artifact Registry.
const DECLARED: ReadonlyMap<string, RegExp> = new Map([["registry.k8s.io", /^[a-z0-9-]+-docker\.pkg\.dev$/]]);

function refuse(url: URL, why: string): RedirectDecision {
  return { kind: "refuse", reason: `redirects to ${url.host === "" ? "another scheme" : url.host}: ${why}` };
}

/**
 * Decides whether a redirect is followed. Within the same origin always. To another host:
 *
 * - never for metadata, because the other host would decide which digest a tag has and which signatures exist; the one declared
 *   exception is registry.k8s.io, which consists of such redirects;
 * - for blobs, as GitHub, Docker Hub, Amazon, Google and Azure answer with an address of their storage: only from a registry with
 *   TLS, only to https, without user information. The caller drops `Authorization` (`sameOrigin` false), limits the number of
 *   hops, refuses addresses of a closer network than the registry's own, and checks the content's digest.
 */
export function decideRedirect(
  registry: string,
  subject: RedirectSubject,
  from: URL,
  location: string | undefined,
): RedirectDecision {
  const url = location !== undefined && URL.canParse(location, from.href) ? new URL(location, from) : undefined;
  if (url === undefined) return { kind: "refuse", reason: "redirects without saying where to" };
  url.hash = "";
  if (url.origin === from.origin && url.username === "" && url.password === "")
    return { kind: "follow", url, sameOrigin: true };
  if (subject === "metadata" && DECLARED.get(registry)?.test(url.hostname) !== true) {
    return refuse(url, "a manifest must come from the registry itself");
  }
  if (from.protocol !== "https:") return refuse(url, "a registry without TLS may not redirect to another host");
  if (url.protocol !== "https:") return refuse(url, "only https is followed");
  if (url.username !== "" || url.password !== "") return refuse(url, "its URL carries user information");
  return { kind: "follow", url, sameOrigin: false };
}
