import { type ErrorScope, type OciError, upstreamDenied, upstreamThrottles } from "./errors.ts";

/** Why it is not known what refers to a manifest, as the access log and the metrics name it. */
export type ReferrersProblem =
  | "UPSTREAM_UNREACHABLE"
  | "UPSTREAM_TIMEOUT"
  | "UPSTREAM_REFUSED"
  | "UPSTREAM_THROTTLED"
  | "UPSTREAM_MALFORMED"
  | "UPSTREAM_EXCESSIVE"
  | "UPSTREAM_CREDENTIALS"
  | "UPSTREAM_BUSY";

/** What kept a list from being read. `why` is one clause, for the middle of a sentence, without a byte of a foreign answer. */
export interface ReferrersFailure {
  readonly problem: ReferrersProblem;
  readonly why: string;
  /** How long the upstream asked to be left alone. */
  readonly retryAfterMs?: number;
}

/** The answer where nobody can say what refers to `digest`: an empty list would say that nothing does. */
export function referrersUnknown(failure: ReferrersFailure, digest: string, scope: ErrorScope): OciError {
  const { problem, why } = failure;
  if (problem === "UPSTREAM_THROTTLED") return upstreamThrottles(scope);
  if (problem === "UPSTREAM_REFUSED") return upstreamDenied({ kind: "referrers", reference: digest }, scope);
  const status = problem === "UPSTREAM_TIMEOUT" ? 504 : problem === "UPSTREAM_BUSY" ? 503 : 502;
  return {
    status,
    code: "UNKNOWN",
    message: `what refers to ${digest} of ${scope.source} is not known: ${why}, and the cache remembers no list of it (CacheRule "${scope.rule}", see: kubectl describe cacherule ${scope.rule})`,
  };
}

/** For the `Warning` of a list that was read before, or from the referrers tag alone, because the upstream gave none. */
export function referrersWarning(failure: ReferrersFailure, from: Date | "tag"): string {
  const source = from === "tag" ? "the referrers tag in the cache" : `the list of ${from.toISOString()}`;
  return `${failure.why}; this is ${source}`;
}
