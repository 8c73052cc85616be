import { createHash } from "node:crypto";

/** Something in a registry that may be a signature of an image: not yet verified, not yet believed. */
export interface Candidate {
  /** Hex sha256 over the signature and, where there is one, its certificate in PEM: policy-controller's `id`. */
  readonly id: string;
  /** Where it was found, for messages. */
  readonly where: string;
  readonly signedBytes: Buffer;
  readonly signature: Buffer;
  /** Why the signed bytes are no statement about the image, or undefined. Only of meaning once the signature has verified. */
  readonly objection: string | undefined;
}

/** What a registry holds for an image in one form of storage. */
export interface Evidence {
  readonly candidates: readonly Candidate[];
  /** What could not be read, in words for the user: with one of these, "no match" is not certain. */
  readonly gaps: readonly string[];
}

export const NOTHING: Evidence = { candidates: [], gaps: [] };

/** Strict base64 (RFC 4648 section 4), or undefined: Buffer's own decoding ignores what it does not know. */
export function base64(text: string): Buffer | undefined {
  return /^[A-Za-z0-9+/]*={0,2}$/.test(text) && text.length % 4 === 0 && text !== ""
    ? Buffer.from(text, "base64")
    : undefined;
}

export function signatureId(signature: Buffer, certificate?: string): string {
  return createHash("sha256")
    .update(signature)
    .update(certificate ?? "")
    .digest("hex");
}
