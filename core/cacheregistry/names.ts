import { createHash } from "node:crypto";

const LABEL_LIMIT = 63; // RFC 1123 label: the limit of Service names

function label(prefix: string, readable: string, identity: string): string {
  const hash = createHash("sha256").update(identity).digest("hex").slice(0, 8);
  const stem = `${prefix}-${readable.toLowerCase().replace(/[^a-z0-9]+/g, "-")}`;
  return `${stem.slice(0, LABEL_LIMIT - hash.length - 1).replace(/-+$/, "")}-${hash}`;
}

/** The name of the Deployment, Service, Secret and claim that proxy one upstream host for one CacheRegistry: an RFC 1123 label, unique to the pair. */
export function backendName(registry: string, upstreamHost: string): string {
  return label("entrepot-cache", `${registry}-${upstreamHost}`, `${registry}/${upstreamHost}`);
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
