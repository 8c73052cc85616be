import { isPlainHttpHost } from "../image/reference.ts";
import type { Upstream } from "./types.ts";

const HUB_HOSTS = new Set(["docker.io", "index.docker.io"]);
const HUB_API = "registry-1.docker.io"; // Docker Hub's registry API answers here; docker.io is its website

/** A host as people write it: Docker Hub is `docker.io`. */
export function shownHost(host: string): string {
  return HUB_HOSTS.has(host) ? "docker.io" : host;
}

/** Whether the registry at `host` is spoken to without TLS: because it says so, or because its name can have no public certificate. */
export function isPlainHttp(upstream: { readonly host: string; readonly plainHTTP?: boolean }): boolean {
  return upstream.plainHTTP ?? isPlainHttpHost(upstream.host);
}

/** The base URL, without a path, of an upstream's registry API. */
export function upstreamUrl(upstream: Pick<Upstream, "host" | "plainHTTP">): string {
  const host = HUB_HOSTS.has(upstream.host) ? HUB_API : upstream.host;
  return `${upstream.plainHTTP ? "http" : "https"}://${host}`;
}
