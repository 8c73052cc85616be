import {
  backendFailed,
  type ErrorScope,
  notFound,
  type OciError,
  upstreamDenied,
  upstreamThrottles,
  type Wanted,
} from "./errors.ts";
import { type HeaderMap, headerOf } from "./headers.ts";
import { isContentDigest } from "./request.ts";

/** What becomes of the backend's answer: its content is sent on, only its status and headers are, or it is replaced by an error. */
export type AnswerVerdict =
  | { readonly kind: "content" }
  | { readonly kind: "headers" }
  | { readonly kind: "error"; readonly error: OciError };

function fail(error: OciError): AnswerVerdict {
  return { kind: "error", error };
}

/** Why an answer with status 200 or 206 is not what a registry answers, or undefined. */
function foreign(wanted: Wanted, headers: HeaderMap): string | undefined {
  const encoding = headerOf(headers, "content-encoding");
  if (encoding !== undefined && encoding !== "identity") return "its backend encodes the content";
  if (wanted.kind === "tags") return undefined;
  // Every registry names the digest of what it sends; a login page or an error page with status 200 does not.
  const digest = headerOf(headers, "docker-content-digest");
  if (digest === undefined || !isContentDigest(digest))
    return "its backend does not answer as a registry does (no Docker-Content-Digest)";
  // Of content asked for by another algorithm a registry may name the canonical digest (specification, "Pulling manifests").
  const canonical = wanted.reference?.startsWith("sha256:") !== true && digest.startsWith("sha256:");
  if (wanted.reference?.includes(":") === true && digest !== wanted.reference && !canonical)
    return "its backend answers with another digest";
  return undefined;
}

/**
 * Judges the backend's status and headers. No redirect is followed: a declared name gives access to what the rule names and to nothing
 * else, wherever the backend points. Error bodies are never passed on: they may quote the upstream's address or a foreign page.
 */
export function judgeAnswer(status: number, headers: HeaderMap, wanted: Wanted, scope: ErrorScope): AnswerVerdict {
  if (status === 200 || status === 206) {
    const why = foreign(wanted, headers);
    return why === undefined ? { kind: "content" } : fail(backendFailed(why, wanted, scope));
  }
  if (status === 304 || status === 412 || status === 416) return { kind: "headers" };
  if (status === 404) return fail(notFound(wanted, scope));
  if (status === 401 || status === 403) return fail(upstreamDenied(wanted, scope));
  if (status === 429) return fail(upstreamThrottles(scope));
  const why =
    status >= 300 && status < 400
      ? "its backend redirects elsewhere, which is never followed"
      : `its backend answers with status ${status}`;
  return fail(backendFailed(why, wanted, scope));
}
