import { createHash } from "node:crypto";
import { OCI_INDEX } from "../registry/media-types.ts";
import { parseReferrers, type Referrer } from "./referrers.ts";
import type { ReferrersFailure } from "./referrers-errors.ts";

/** What a registry answers when it is asked for the referrers tag. */
export interface TagAnswer {
  readonly status: number;
  readonly contentType: string | undefined;
  /** `Docker-Content-Digest`. */
  readonly announced: string | undefined;
  readonly body: Buffer;
}

export type ReadTag =
  | { readonly kind: "list"; readonly referrers: readonly Referrer[] }
  | { readonly kind: "none" }
  | { readonly kind: "failed"; readonly failure: ReferrersFailure };

const NONE: ReadTag = { kind: "none" };

function digestLike(digest: string, body: Buffer): string {
  const algorithm = digest.slice(0, digest.indexOf(":"));
  return `${algorithm}:${createHash(algorithm).update(body).digest("hex")}`;
}

function failed(problem: ReferrersFailure["problem"], why: string): ReadTag {
  return { kind: "failed", failure: { problem, why } };
}

/** Whether a content type is an OCI image index's. */
export function isIndexType(type: string | undefined): boolean {
  return type?.split(";")[0]?.trim().toLowerCase() === OCI_INDEX;
}

/** Whether a content type can be another manifest's. A page of text comes from something that is no registry. */
function isOther(type: string | undefined): boolean {
  return type?.trim().toLowerCase().startsWith("application/") === true;
}

/**
 * Reads the answer to a request for the referrers tag of `digest`. A tag of that name that is no image index lists nothing ("Unavailable
 * Referrers API"); neither does the manifest itself, which GitLab's registry takes the tag for.
 */
export function readTag({ status, contentType, announced, body }: TagAnswer, digest: string): ReadTag {
  if (status === 404) return NONE;
  if (status === 401 || status === 403) return failed("UPSTREAM_REFUSED", "the upstream refuses the referrers tag");
  if (status === 429) return failed("UPSTREAM_THROTTLED", "the upstream limits the rate of requests");
  if (status !== 200) return failed("UPSTREAM_MALFORMED", `the referrers tag is answered with status ${status}`);
  if (!isIndexType(contentType))
    return isOther(contentType) ? NONE : failed("UPSTREAM_MALFORMED", "the referrers tag is answered with no manifest");
  if (digestLike(digest, body) === digest) return NONE;
  if (announced?.startsWith("sha256:") === true && digestLike(announced, body) !== announced)
    return failed("UPSTREAM_MALFORMED", "the referrers tag has other content than its digest says");
  const referrers = parseReferrers(body.toString("utf8"));
  return referrers === undefined
    ? failed("UPSTREAM_MALFORMED", "the referrers tag lists something that is no descriptor")
    : { kind: "list", referrers };
}
