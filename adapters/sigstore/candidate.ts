import { createHash } from "node:crypto";
import type { Envelope, TransparencyLogEntry } from "@sigstore/protobuf-specs";
import type { Digest } from "../../core/image/reference.ts";

/** What evidence is for: signatures say "I know this image", attestations say something about it. */
export type EvidenceKind = "signature" | "attestation";

/** What came with a signature. All of it is as untrusted as the signature itself. */
export interface Material {
  /** The leaf certificate, DER. */
  readonly certificate?: Buffer;
  /** DER, from the signature's chain annotation or the bundle. */
  readonly intermediates: readonly Buffer[];
  /** Entries of transparency logs; classic annotations (`dev.sigstore.cosign/bundle`) are brought into this form. */
  readonly logEntries: readonly TransparencyLogEntry[];
  /** RFC 3161: DER of a TimeStampResp, or of its token. */
  readonly timestamps: readonly Buffer[];
}

/** What an attestation says. */
export interface ReadStatement {
  /** The URI in the statement. */
  readonly predicateType: string;
  /** The in-toto statement: the payload of the envelope as it is. */
  readonly json: string;
  /** Of the layer (or bundle) that holds it. */
  readonly digest: Digest;
}

/** Something in a registry that may be a signature of an image or an attestation about it: not yet verified, not yet believed. */
export interface Candidate {
  readonly kind: EvidenceKind;
  /** Hex sha256 over the signature and, where there is one, its certificate in PEM: policy-controller's `id`. */
  readonly id: string;
  /** Where it was found, for messages. */
  readonly where: string;
  /** The simple-signing payload; DSSE's pre-authentication encoding; the image's manifest (a bundle's message signature). */
  readonly signedBytes: Buffer;
  readonly signature: Buffer;
  /** Why the signed bytes are no statement about the image, or undefined. Only of meaning once the signature has verified. */
  readonly objection: string | undefined;
  /** For DSSE content: what was signed and how, with `signature` as its only signature. */
  readonly envelope?: Envelope;
  readonly material: Material;
  /** Attestations only. */
  readonly statement?: ReadStatement;
  /** It came in a Sigstore bundle: the only form that `signatureFormat: bundle` allows. */
  readonly bundle?: true;
}

/** What a registry holds for an image in one form of storage. */
export interface Evidence {
  readonly candidates: readonly Candidate[];
  /** What was read and is certainly none, in words for the user: an attestation that nobody signed. */
  readonly refusals: readonly string[];
  /** What could not be read, in words for the user: with one of these, "no match" is not certain. */
  readonly gaps: readonly string[];
}

export const NOTHING: Evidence = { candidates: [], refusals: [], gaps: [] };

/** Strict base64 (RFC 4648 section 4), or undefined: Buffer's own decoding ignores what it does not know. */
export function base64(text: string): Buffer | undefined {
  return /^[A-Za-z0-9+/]*={0,2}$/.test(text) && text.length % 4 === 0 && text !== ""
    ? Buffer.from(text, "base64")
    : undefined;
}

/** A certificate in PEM as Go's `pem.Encode` writes it. */
function certificatePem(der: Buffer): string {
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

/** policy-controller's `id` of a signature (its `signatureID`): hex sha256 over the signature and its certificate in PEM, if any. */
export function signatureId(signature: Buffer, certificate?: Buffer): string {
  const hash = createHash("sha256").update(signature);
  return (certificate === undefined ? hash : hash.update(certificatePem(certificate))).digest("hex");
}
