import { createHash } from "node:crypto";

const LABEL_LIMIT = 63; // RFC 1123 label: the limit of Service names

function label(prefix: string, readable: string, identity: string): string {
  const hash = createHash("sha256").update(identity).digest("hex").slice(0, 8);
  const stem = `${prefix}-${readable.toLowerCase().replace(/[^a-z0-9]+/g, "-")}`;
  return `${stem.slice(0, LABEL_LIMIT - hash.length - 1).replace(/-+$/, "")}-${hash}`;
}

/** The name of the Deployment, Service and Secret that proxy one upstream host for one CacheRegistry: an RFC 1123 label, unique to the pair. */
export function backendName(registry: string, upstreamHost: string): string {
  return label("entrepot-cache", `${registry}-${upstreamHost}`, `${registry}/${upstreamHost}`);
}

/** Whether the content of an upstream is shown to its credentials alone, or to anybody. */
export type Visibility = "private" | "open";

/** The visibility of what an upstream is read for: with credentials, whatever they see is private. */
export function visibility(upstream: { readonly credentials?: object }): Visibility {
  return upstream.credentials === undefined ? "open" : "private";
}

/**
 * The claim of one upstream's proxy. With and without credentials it is another, so that the one which is no longer wanted goes with its
 * content. Never `backendName` itself: versions before kept both in a claim of that name.
 */
export function claimName(registry: string, upstreamHost: string, shown: Visibility): string {
  return `${backendName(registry, upstreamHost)}-${shown}`;
}

/** Whatever an object of one upstream's proxy may be called, its claims by versions before among them. */
export function proxyNames(registry: string, upstreamHost: string): readonly string[] {
  const claims = (["open", "private"] as const).map((shown) => claimName(registry, upstreamHost, shown));
  return [backendName(registry, upstreamHost), ...claims];
}

/** The name of the gateway's Deployment and Service of one CacheRegistry: an RFC 1123 label. */
export function gatewayName(registry: string): string {
  const name = `entrepot-gateway-${registry}`;
  return name.length <= LABEL_LIMIT && !registry.includes(".") ? name : label("entrepot-gateway", registry, registry);
}

/** Where the gateway finds the proxy of one upstream, as a URL without a path. */
export function backendUrl(registry: string, upstreamHost: string, namespace: string): string {
  return `http://${backendName(registry, upstreamHost)}.${namespace}.svc:5000`;
}
