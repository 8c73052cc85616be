import { createHash } from "node:crypto";
import { type Digest, isDigest } from "../../core/image/reference.ts";
import { errorOf, RegistryError, type Target } from "./errors.ts";
import type { Answer } from "./transport.ts";

/** A manifest's bytes, checked against `digest`. */
export interface FetchedManifest {
  readonly digest: Digest;
  readonly bytes: Buffer;
}

/** Bytes of a manifest: the OCI distribution specification's own limit. */
export const MANIFEST_LIMIT = 4 * 1024 * 1024;

export function digestOf(bytes: Buffer): Digest {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** The error for content that is not what its digest says. */
export function mismatch(target: Target, what: string): RegistryError {
  return new RegistryError(
    "DIGEST_MISMATCH",
    target,
    `the registry answered with other content than ${what}; check the registry's storage and any proxy in front of it`,
  );
}

/** The manifest of an answer, checked against the digest it was asked by, or that the registry announces. Throws `RegistryError`. */
export function checkedManifest(target: Target, reference: string, answer: Answer): FetchedManifest {
  if (answer.status !== 200) throw errorOf(target, answer, false);
  const digest = digestOf(answer.body);
  const announced = answer.header("docker-content-digest");
  const expected = isDigest(reference) ? reference : announced;
  if (expected !== undefined && isDigest(expected) && expected !== digest) throw mismatch(target, `${reference} names`);
  return { digest, bytes: answer.body };
}
