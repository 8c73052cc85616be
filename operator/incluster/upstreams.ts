import { X509Certificate } from "node:crypto";
import { readCredentials } from "../../core/cacheregistry/credentials.ts";
import type { Upstream } from "../../core/cacheregistry/types.ts";
import { isPlainHttp, shownHost } from "../../core/cacheregistry/upstream.ts";
import { normaliseHost } from "../../core/image/reference.ts";
import { type CacheRegistryObject, REASON, type Reason } from "../../crds/index.ts";
import type { Objects, SecretObject } from "../resources.ts";
import type { UpstreamHealth } from "./upstream-probe.ts";

/** An upstream with what its proxy needs, or what is wrong with how it is described. */
export type ResolvedUpstream =
  | { readonly kind: "upstream"; readonly upstream: Upstream }
  | { readonly kind: "problem"; readonly host: string; readonly reason: Reason; readonly message: string };

/** An upstream with its health; a problem has none. */
export type ExaminedUpstream =
  | { readonly kind: "upstream"; readonly upstream: Upstream; readonly health: UpstreamHealth }
  | Extract<ResolvedUpstream, { kind: "problem" }>;

/**
 * Whether the proxy of an upstream can be started or changed now. CNCF distribution asks its upstream for `/v2/` when it starts and
 * ends if there is no answer: a proxy that runs serves what it has, one that was replaced meanwhile would serve nothing. One with
 * credentials that the upstream refuses is no better: a password may be in the Secret before it is in the upstream.
 */
export function canRoll(examined: ExaminedUpstream): boolean {
  return examined.kind === "upstream" && examined.health.kind === "reachable";
}

/** The host of an upstream, resolved or not. */
export function hostOf(one: ResolvedUpstream | ExaminedUpstream): string {
  return one.kind === "problem" ? one.host : one.upstream.host;
}

function isCertificate(pem: string): boolean {
  try {
    new X509Certificate(pem);
    return true;
  } catch {
    return false;
  }
}

/**
 * What a registry says of the upstream `host` (as `normaliseHost` spells it), with its credentials read from the Secret in `namespace`.
 * A host that spec does not list is an anonymous one.
 */
export function resolveUpstream(
  registry: CacheRegistryObject,
  host: string,
  secrets: Pick<Objects<SecretObject>, "get">,
  namespace: string,
): ResolvedUpstream {
  const entry = registry.spec.upstreams?.find((candidate) => normaliseHost(candidate.host) === host);
  const plainHTTP = isPlainHttp({ host, ...(entry?.plainHTTP !== undefined && { plainHTTP: entry.plainHTTP }) });
  const problem = (reason: Reason, message: string): ResolvedUpstream => ({ kind: "problem", host, reason, message });
  const { caBundle } = entry ?? {};
  if (caBundle !== undefined && !isCertificate(caBundle)) {
    return problem(
      REASON.InvalidSpec,
      `the caBundle of upstream ${shownHost(host)} holds no certificate; give it in PEM form (-----BEGIN CERTIFICATE-----)`,
    );
  }
  const upstream: Upstream = { host, plainHTTP, ...(caBundle !== undefined && { caBundle }) };
  const reference = entry?.credentials?.secretRef;
  if (reference === undefined) return { kind: "upstream", upstream };
  const secret = secrets.get(`${namespace}/${reference.name}`);
  if (secret === undefined) {
    return problem(
      REASON.SecretNotFound,
      `Secret "${reference.name}" for upstream ${shownHost(host)} does not exist in namespace ${namespace}; create it there`,
    );
  }
  const read = readCredentials(secret, host);
  return read.kind === "problem"
    ? problem(REASON.SecretInvalid, read.message)
    : { kind: "upstream", upstream: { ...upstream, credentials: read.credentials } };
}
