/** The codes of the OCI distribution specification v1.1 ("Error Codes") that a pull-only registry uses; UNKNOWN is distribution's. */
export type OciErrorCode =
  | "BLOB_UNKNOWN"
  | "DENIED"
  | "DIGEST_INVALID"
  | "MANIFEST_UNKNOWN"
  | "NAME_INVALID"
  | "NAME_UNKNOWN"
  | "TOOMANYREQUESTS"
  | "UNAUTHORIZED"
  | "UNKNOWN"
  | "UNSUPPORTED";

/** An answer that is an error: a value, because refusing is what the gateway is for. */
export interface OciError {
  readonly status: number;
  readonly code: OciErrorCode;
  readonly message: string;
}

/** The body of an error answer (distribution specification, "Error Codes"). */
export function ociErrorBody(error: OciError): string {
  return JSON.stringify({ errors: [{ code: error.code, message: error.message }] });
}

/** The rule that a request falls under and the upstream repository behind it, for messages. */
export interface ErrorScope {
  readonly rule: string;
  /** Upstream host and repository. */
  readonly source: string;
  /** What the operator last found wrong with the upstream, if anything. */
  readonly upstreamProblem?: string;
}

/** An undeclared name. Says nothing about what exists upstream: nobody asked there. */
export function undeclared(repository: string, registry: string): OciError {
  return {
    status: 404,
    code: "NAME_UNKNOWN",
    message: `repository "${repository}" is not declared in this cache: no accepted CacheRule of CacheRegistry "${registry}" has a target that names it (see: kubectl get cacherules)`,
  };
}

/** The rules are not loaded yet, so that "undeclared" would be a guess. */
export function rulesNotLoaded(registry: string): OciError {
  return {
    status: 503,
    code: "UNKNOWN",
    message: `the cache rules of CacheRegistry "${registry}" are not loaded yet, try again; if this lasts, the gateway cannot reach the Kubernetes API (see its log)`,
  };
}

/** What a request asks for, in the words of messages. */
export interface Wanted {
  readonly kind: "manifest" | "blob" | "tags" | "referrers";
  /** Tag or digest; absent for a tags list. */
  readonly reference?: string;
}

function thing(wanted: Wanted): string {
  return wanted.kind === "tags" ? "the tags list" : `${wanted.kind} ${wanted.reference ?? ""}`.trimEnd();
}

function seeRule(scope: ErrorScope): string {
  return `see: kubectl describe cacherule ${scope.rule}`;
}

/**
 * The cache does not have it and did not get it. While the upstream is known to be unreachable that is no "not found": a client that
 * looks for a signature must not take an outage for its absence.
 */
export function notFound(wanted: Wanted, scope: ErrorScope): OciError {
  if (scope.upstreamProblem !== undefined) {
    return {
      status: 502,
      code: "UNKNOWN",
      message: `${thing(wanted)} of ${scope.source} is not cached and the upstream cannot be asked (${scope.upstreamProblem}); CacheRule "${scope.rule}", ${seeRule(scope)}`,
    };
  }
  const code =
    wanted.kind === "blob" ? "BLOB_UNKNOWN" : wanted.kind === "manifest" ? "MANIFEST_UNKNOWN" : "NAME_UNKNOWN";
  return {
    status: 404,
    code,
    message: `${thing(wanted)} of ${scope.source} is not cached and the upstream did not provide it (CacheRule "${scope.rule}"): it does not exist there, the cache's credentials may not read it, or the upstream is unreachable, ${seeRule(scope)}`,
  };
}

/** The upstream refuses the cache. Docker Hub and others answer so for repositories that do not exist, too. */
export function upstreamDenied(wanted: Wanted, scope: ErrorScope): OciError {
  return {
    status: 403,
    code: "DENIED",
    message: `the upstream refuses ${thing(wanted)} of ${scope.source} to the cache: the repository does not exist or the credentials of CacheRegistry's upstream may not read it (CacheRule "${scope.rule}", ${seeRule(scope)})`,
  };
}

/** The upstream limits the rate of the cache's requests. */
export function upstreamThrottles(scope: ErrorScope): OciError {
  return {
    status: 429,
    code: "TOOMANYREQUESTS",
    message: `the upstream of ${scope.source} limits the rate of pulls (CacheRule "${scope.rule}"): try again later, or give CacheRegistry's upstream credentials with a higher limit`,
  };
}

/** The backend failed, in a way that `why` says without quoting its answer. */
export function backendFailed(why: string, wanted: Wanted, scope: ErrorScope): OciError {
  return {
    status: 502,
    code: "UNKNOWN",
    message: `the cache could not get ${thing(wanted)} of ${scope.source}: ${why} (CacheRule "${scope.rule}", ${seeRule(scope)})`,
  };
}

/** The backend did not answer in time. */
export function backendTimedOut(why: string, wanted: Wanted, scope: ErrorScope): OciError {
  return { ...backendFailed(why, wanted, scope), status: 504 };
}

/** The gateway itself has no room now. */
export function gatewayBusy(why: string, wanted: Wanted, scope: ErrorScope): OciError {
  return { ...backendFailed(why, wanted, scope), status: 503 };
}

/** A method that a pull-only registry does not have. */
export function methodUnsupported(method: string): OciError {
  return {
    status: 405,
    code: "UNSUPPORTED",
    message: `${method} is not supported: this registry is a cache, which is only pulled from`,
  };
}
