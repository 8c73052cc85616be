import { shownHost } from "../cacheregistry/upstream.ts";
import { shortHash } from "./harbor.ts";

/** A registry endpoint of Harbor ("registry" in its API) as a CacheRegistry declares it for one upstream. */
export interface DesiredEndpoint {
  readonly name: string;
  readonly type: string;
  readonly url: string;
  /** PEM, or "" for the authorities that Harbor trusts anyway. */
  readonly ca: string;
  readonly username: string;
  /** What tells this content of the credentials' Secret from others; `ANONYMOUS` without credentials. Says nothing of the content. */
  readonly version: string;
  /** The CacheRegistry's uid. */
  readonly owner: string;
}

/** An endpoint as Harbor has it; its password is never shown. */
export interface FoundEndpoint {
  readonly id: number;
  readonly name: string;
  readonly type: string;
  readonly url: string;
  readonly insecure: boolean;
  readonly ca: string;
  readonly username: string;
  readonly hasSecret: boolean;
  readonly description: string;
  /** By Harbor's own check, every five minutes and at each write. */
  readonly status: string;
}

export const ANONYMOUS = "anonymous";

const NAME_LIMIT = 64; // src/controller/registry/controller.go
const PREFIX = "entrepot-";
const MARK = /^managed by entrepot ([A-Za-z0-9-]{1,63})(?: ([A-Za-z0-9._-]{1,200}))?$/;

/** The name of the endpoint for one upstream of a CacheRegistry: at most 64 characters, unique to the pair. */
export function endpointName(registry: string, host: string): string {
  const stem = `${PREFIX}${registry}-${shownHost(host)}`.toLowerCase().replace(/[^a-z0-9]+/g, "-");
  const hash = shortHash(`${registry}/${host}`);
  return `${stem.slice(0, NAME_LIMIT - hash.length - 1).replace(/-+$/, "")}-${hash}`;
}

/** What all names of endpoints that Entrepot makes begin with. */
export const ENDPOINT_PREFIX = PREFIX;

/**
 * The kind of registry that Harbor is to take a host for. Only kinds that its installer permits for proxy caches
 * (PERMITTED_REGISTRY_TYPES_FOR_PROXY_CACHE): `quay` is not among them, and a plain `docker-registry` serves Quay, registry.k8s.io,
 * Azure, Google and every other host that speaks the distribution API with a user and a password.
 */
export function endpointType(host: string): string {
  if (shownHost(host) === "docker.io") return "docker-hub"; // redirects project/nginx to project/library/nginx
  if (host === "ghcr.io") return "github-ghcr";
  if (/^[0-9]{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?$/.test(host)) return "aws-ecr"; // signs in with access keys
  return "docker-registry";
}

/** The URL by which Harbor knows a host: Docker Hub's is that of its website, for its API. */
export function endpointUrl(host: string, plainHttp: boolean): string {
  if (shownHost(host) === "docker.io") return "https://hub.docker.com";
  return `${plainHttp ? "http" : "https"}://${host}`;
}

/** The description by which Entrepot knows its endpoints again, and which Secret it gave them last. */
export function endpointMark({ owner, version }: Pick<DesiredEndpoint, "owner" | "version">): string {
  return `managed by entrepot ${owner} ${version}`;
}

/** Whose endpoint it is by its description: a CacheRegistry's uid. */
export function ownerOf(found: Pick<FoundEndpoint, "description">): string | undefined {
  return MARK.exec(found.description.trim())?.[1];
}

/**
 * What tells one content of a Secret from another without saying anything of it: which object it is, and which version of it. A hash
 * of the content would do so too, but whoever reads it could try passwords against it; the price is that Entrepot writes the
 * credentials once more when only a label of the Secret changed.
 */
export function secretVersion({ uid = "", resourceVersion = "" }: { uid?: string; resourceVersion?: string }): string {
  return `${uid}.${resourceVersion}`.replace(/[^A-Za-z0-9._-]/g, "-").slice(0, 200);
}

function normaliseUrl(url: string): string {
  return URL.canParse(url) ? new URL(url).href.replace(/\/+$/, "") : url;
}

function normalisePem(pem: string): string {
  return pem.replace(/\r\n?/g, "\n").trim();
}

/** In what an endpoint differs from what is declared: names of the API's fields. */
export function endpointDifferences(desired: DesiredEndpoint, found: FoundEndpoint): readonly string[] {
  const differs: Readonly<Record<string, boolean>> = {
    type: found.type !== desired.type,
    url: normaliseUrl(found.url) !== normaliseUrl(desired.url),
    insecure: found.insecure,
    ca_certificate: normalisePem(found.ca) !== normalisePem(desired.ca),
    access_key: found.username !== desired.username,
    access_secret: found.hasSecret !== (desired.version !== ANONYMOUS),
    description: found.description.trim() !== endpointMark(desired),
  };
  return Object.keys(differs).filter((field) => differs[field]);
}
