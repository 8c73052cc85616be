import { createHash } from "node:crypto";
import type { Envelope } from "@sigstore/protobuf-specs";
import type { Candidate } from "./candidate.ts";
import { isSignedBy, type VerificationKey } from "./keys.ts";

/** Hash algorithms that logs and timestamp authorities name. */
export type ContentHash = "sha224" | "sha256" | "sha384" | "sha512";

/** What was signed, as far as keys, logs and timestamp authorities speak of it. */
export interface SignedContent {
  readonly signature: Buffer;
  isSignedBy(key: VerificationKey): boolean;
  /** Of the signed bytes; undefined where it cannot be known. */
  digest(algorithm: ContentHash): Buffer | undefined;
  /** Present for DSSE. */
  readonly envelope?: SignedEnvelope;
}

export interface SignedEnvelope {
  readonly payload: Buffer;
  /** As cosign writes and logs it (Go's encoding of in-toto's `dsse.Envelope`). */
  readonly json: string;
  /** sha256 of the envelope as it was stored, where that is known: cosign's `.att` layers are envelopes. */
  readonly storedDigest?: Buffer;
}

function envelopeJson({ payloadType, payload, signatures }: Envelope): string {
  const signed = signatures.map(({ keyid, sig }) => ({ keyid, sig: sig.toString("base64") }));
  return JSON.stringify({ payloadType, payload: payload.toString("base64"), signatures: signed });
}

function signedEnvelope({ envelope, statement }: Candidate): SignedEnvelope | undefined {
  if (envelope === undefined) return undefined;
  const hex = statement?.digest.split(":")[1];
  return {
    payload: envelope.payload,
    json: envelopeJson(envelope),
    ...(hex !== undefined && { storedDigest: Buffer.from(hex, "hex") }),
  };
}

/** The hash of some bytes. */
export function hashOf(algorithm: ContentHash, ...data: readonly (Buffer | string)[]): Buffer {
  const hash = createHash(algorithm);
  for (const part of data) hash.update(part);
  return hash.digest();
}

/** What `candidate` signs. */
export function contentOf(candidate: Candidate): SignedContent {
  const { signature, signedBytes } = candidate;
  const envelope = signedEnvelope(candidate);
  return {
    signature,
    isSignedBy: (key) => isSignedBy(key, signedBytes, signature),
    digest: (algorithm) => hashOf(algorithm, signedBytes),
    ...(envelope !== undefined && { envelope }),
  };
}
