import { DomainError } from "../errors.ts";

export type ReferenceErrorCode = "REFERENCE_INVALID";

/** `sha256:` and 64 lower-case hexadecimal digits: the one digest algorithm that registries and signatures share. */
export type Digest = `sha256:${string}`;

/**
 * An image reference as the node's runtime reads it (distribution/reference, normalised form): `registry` is a lower-case
 * host[:port], `index.docker.io` for Docker Hub in all its spellings; `repository` has Docker Hub's `library/` made explicit.
 */
export interface ImageReference {
  readonly registry: string;
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: Digest;
  readonly asWritten: string;
}

const HUB = "index.docker.io";
const HUB_ALIASES = new Set(["docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"]);

// The grammar of the OCI distribution specification v1.1 ("Pulling manifests"), with Docker's limits.
const HOST =
  /^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*|\[[0-9a-f:]+\])(?::[0-9]{1,5})?$/;
const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/;
const REFERENCE_LIMIT = 512;
const REPOSITORY_LIMIT = 255;

function invalid(text: string, why: string): DomainError<ReferenceErrorCode> {
  const shown = text.length > 200 ? `${text.slice(0, 200)}…` : text;
  return new DomainError("REFERENCE_INVALID", `invalid image reference "${shown}": ${why}`, { terminal: true });
}

/** Whether `text` is a sha256 digest in canonical form. */
export function isDigest(text: string): text is Digest {
  return DIGEST.test(text);
}

function isHost(first: string): boolean {
  return /[.:[]/.test(first) || first === "localhost" || first !== first.toLowerCase();
}

/** The canonical spelling of a registry host: lower case, and one name for Docker Hub. */
export function normaliseHost(host: string): string {
  const lower = host.toLowerCase();
  return HUB_ALIASES.has(lower) ? HUB : lower;
}

/** Splits `host/path` as the runtime does: the first part is a host if it has a dot, a colon, an upper-case letter, or is `localhost`. */
function splitHost(name: string): { registry: string; repository: string } {
  const slash = name.indexOf("/");
  const first = slash < 0 ? "" : name.slice(0, slash);
  const explicit = slash >= 0 && isHost(first);
  const registry = explicit ? normaliseHost(first) : HUB;
  const path = explicit ? name.slice(slash + 1) : name;
  return { registry, repository: registry === HUB && !path.includes("/") ? `library/${path}` : path };
}

/**
 * Reads an image reference. Differences between this and what the node pulls would be a way around every policy, so it follows
 * distribution/reference (containerd, CRI) and not ggcr where the two differ (`localhost/x`, upper-case hosts).
 * Throws `REFERENCE_INVALID`.
 */
export function parseReference(text: string): ImageReference {
  if (text.length > REFERENCE_LIMIT) throw invalid(text, `longer than ${REFERENCE_LIMIT} characters`);
  const at = text.indexOf("@");
  const digest = at < 0 ? undefined : text.slice(at + 1);
  if (digest !== undefined && !isDigest(digest))
    throw invalid(text, "the digest must be sha256: and 64 hexadecimal digits");
  const named = at < 0 ? text : text.slice(0, at);
  const colon = named.lastIndexOf(":");
  const tagged = colon > named.lastIndexOf("/");
  const tag = tagged ? named.slice(colon + 1) : undefined;
  if (tag !== undefined && !TAG.test(tag))
    throw invalid(text, "the tag may have letters, digits and _.- , 128 at most");
  const { registry, repository } = splitHost(tagged ? named.slice(0, colon) : named);
  if (!HOST.test(registry)) throw invalid(text, `"${registry}" is no registry host`);
  if (repository.length > REPOSITORY_LIMIT || !repository.split("/").every((part) => COMPONENT.test(part))) {
    throw invalid(text, "the repository must be lower-case path components of letters and digits joined by . _ - or /");
  }
  return {
    registry,
    repository,
    asWritten: text,
    ...(tag !== undefined && { tag }),
    ...(digest !== undefined && { digest }),
  };
}

/** `registry/repository`, fully qualified. */
export function repositoryName(ref: ImageReference): string {
  return `${ref.registry}/${ref.repository}`;
}

/** The canonical name: with a digest `registry/repository@digest` (the tag is dropped), else `registry/repository:tag`, `latest` if none. */
export function canonicalName(ref: ImageReference): string {
  return ref.digest === undefined
    ? `${repositoryName(ref)}:${ref.tag ?? "latest"}`
    : `${repositoryName(ref)}@${ref.digest}`;
}

/** The reference as its author wrote it with the digest added (`nginx:1` stays `nginx:1@sha256:…`): what a Pod is pinned to. */
export function pinned(ref: ImageReference, digest: Digest): string {
  return ref.digest === undefined ? `${ref.asWritten}@${digest}` : ref.asWritten;
}

const PRIVATE_IPV4 = /^(?:127\.|10\.|192\.168\.|172\.(?:1[6-9]|2[0-9]|3[01])\.)[0-9.]+$/;

/** Whether a registry speaks plain HTTP by its name alone, by the rule that cosign and policy-controller follow (ggcr `Registry.Scheme`). */
export function isPlainHttpHost(host: string): boolean {
  const name = host.replace(/:[0-9]+$/, "");
  return name === "localhost" || name.endsWith(".local") || name === "[::1]" || PRIVATE_IPV4.test(name);
}
