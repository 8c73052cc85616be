import { createHash, type KeyObject, X509Certificate } from "node:crypto";
import { DomainError, messageOf } from "../errors.ts";
import { parsePublicKeys } from "../policy/publickeys.ts";

export type TrustRootErrorCode = "TRUST_ROOT_INVALID";

/** dev.sigstore.common.v1.TimeRange. */
export interface TimeRange {
  readonly start: string;
  readonly end?: string;
}

/** dev.sigstore.trustroot.v1.CertificateAuthority, as protobuf JSON. */
export interface TrustedAuthority {
  readonly subject?: { readonly organization: string; readonly commonName: string };
  readonly uri: string;
  readonly certChain: { readonly certificates: readonly { readonly rawBytes: string }[] };
  readonly validFor: TimeRange;
}

/** dev.sigstore.trustroot.v1.TransparencyLogInstance, as protobuf JSON. */
export interface TrustedLog {
  readonly baseUrl: string;
  readonly hashAlgorithm?: string;
  readonly publicKey: { readonly rawBytes: string; readonly keyDetails?: string; readonly validFor: TimeRange };
  readonly logId: { readonly keyId: string };
  readonly checkpointKeyId?: { readonly keyId: string };
}

/** dev.sigstore.trustroot.v1.TrustedRoot (sigstore/protobuf-specs, sigstore_trustroot.proto), as protobuf JSON. */
export interface TrustedRootMessage {
  readonly mediaType: string;
  readonly tlogs?: readonly TrustedLog[];
  readonly certificateAuthorities?: readonly TrustedAuthority[];
  readonly ctlogs?: readonly TrustedLog[];
  readonly timestampAuthorities?: readonly TrustedAuthority[];
}

export const TRUSTED_ROOT_MEDIA_TYPE = "application/vnd.dev.sigstore.trustedroot+json;version=0.1";

/** From the beginning of Unix time: what policy-controller writes where nothing is said. */
const ALWAYS = "1970-01-01T00:00:00Z";

interface Period {
  readonly start?: string;
  readonly end?: string;
}

function timeRange({ start = ALWAYS, end }: Period = {}): TimeRange {
  return { start, ...(end !== undefined && { end }) };
}

/** The error for a trust root that can't be used; `what` names the field. It waits for a change of the input. */
export function invalidTrustRoot(what: string, why: string, cause?: unknown): DomainError<TrustRootErrorCode> {
  return new DomainError("TRUST_ROOT_INVALID", `${what}: ${why}`, { cause, terminal: true });
}

export interface AuthorityInput {
  /** How messages name where the chain comes from. */
  readonly where: string;
  readonly subject?: { readonly organization: string; readonly commonName: string };
  readonly uri: string;
  /** Certificates in PEM, in the order in which they are trusted: the issuing one first, the root last. */
  readonly pem: string;
  readonly period?: Period;
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]*-----END CERTIFICATE-----/g;
const CHAIN_LIMIT = 16;

/** A certificate authority; every block of the chain must be a certificate. Throws `TRUST_ROOT_INVALID`. */
export function trustedAuthority({ where, subject, uri, pem, period }: AuthorityInput): TrustedAuthority {
  const blocks = pem.match(CERTIFICATE) ?? [];
  if (blocks.length === 0) throw invalidTrustRoot(where, "there is no certificate in PEM");
  if (blocks.length !== pem.split("-----BEGIN ").length - 1)
    throw invalidTrustRoot(where, "a PEM block is no certificate, or is cut off");
  if (blocks.length > CHAIN_LIMIT) throw invalidTrustRoot(where, `there are more than ${CHAIN_LIMIT} certificates`);
  const certificates = blocks.map((block, index) => {
    try {
      return { rawBytes: new X509Certificate(block).raw.toString("base64") };
    } catch (cause) {
      throw invalidTrustRoot(where, `certificate ${index + 1} can't be read`, cause);
    }
  });
  return { ...(subject && { subject }), uri, certChain: { certificates }, validFor: timeRange(period) };
}

export interface LogInput {
  readonly where: string;
  readonly baseUrl: string;
  /** As the TrustRoot writes it: `sha-256`, `sha256`, … */
  readonly hashAlgorithm: string;
  /** One public key in PEM. */
  readonly pem: string;
  readonly period?: Period;
}

/** policy-controller's spellings (`HashStringToHashAlgorithm`); any other is left out, as there. */
const HASHES: Readonly<Record<string, string>> = {
  "sha-256": "SHA2_256",
  sha256: "SHA2_256",
  "sha-384": "SHA2_384",
  sha384: "SHA2_384",
  "sha-512": "SHA2_512",
  sha512: "SHA2_512",
};

const CURVES: Readonly<Record<string, string>> = {
  prime256v1: "PKIX_ECDSA_P256_SHA_256",
  secp384r1: "PKIX_ECDSA_P384_SHA_384",
  secp521r1: "PKIX_ECDSA_P521_SHA_512",
};

/** dev.sigstore.common.v1.PublicKeyDetails of a key; RSA is what certificate logs sign with (RFC 6962, section 2.1.4). */
function keyDetails(key: KeyObject): string | undefined {
  const { namedCurve, modulusLength } = key.asymmetricKeyDetails ?? {};
  if (key.asymmetricKeyType === "ed25519") return "PKIX_ED25519";
  if (key.asymmetricKeyType === "ec") return CURVES[namedCurve ?? ""];
  const sizes: readonly (number | undefined)[] = [2048, 3072, 4096];
  return sizes.includes(modulusLength) ? `PKIX_RSA_PKCS1V15_${modulusLength}_SHA256` : undefined;
}

function sha256(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("base64");
}

const ED25519_BYTES = 32;

/**
 * The key ID of an Ed25519 log by the signed-note format (C2SP signed-note.md), in full length: what Rekor v2 writes into its entries.
 * The log's origin is its host name (sigstore-go, `verify/tlog.go`), without a port.
 */
function noteKeyId(baseUrl: string, spki: Uint8Array): string | undefined {
  const host = URL.parse(baseUrl)?.hostname;
  return host ? sha256(`${host}\n\x01`, spki.subarray(-ED25519_BYTES)) : undefined;
}

function oneKey({ where, pem }: LogInput): KeyObject {
  try {
    const [key] = parsePublicKeys(pem);
    if (key !== undefined) return key;
  } catch (thrown) {
    throw invalidTrustRoot(where, messageOf(thrown), thrown);
  }
  throw invalidTrustRoot(where, "there is no public key in PEM");
}

/** A log of certificates (certificate transparency). Its ID is the SHA-256 of its key in DER (RFC 6962, section 3.2). Throws `TRUST_ROOT_INVALID`. */
export function trustedLog(input: LogInput): TrustedLog {
  const key = oneKey(input);
  const spki = key.export({ type: "spki", format: "der" });
  const hashAlgorithm = HASHES[input.hashAlgorithm.toLowerCase()];
  const details = keyDetails(key);
  const noteId = key.asymmetricKeyType === "ed25519" ? noteKeyId(input.baseUrl, spki) : undefined;
  return {
    baseUrl: input.baseUrl,
    ...(hashAlgorithm !== undefined && { hashAlgorithm }),
    publicKey: {
      rawBytes: spki.toString("base64"),
      ...(details !== undefined && { keyDetails: details }),
      validFor: timeRange(input.period),
    },
    logId: { keyId: sha256(spki) },
    ...(noteId !== undefined && { checkpointKeyId: { keyId: noteId } }),
  };
}

/** A log of signatures (Rekor): its key is ECDSA, or Ed25519 as Rekor v2's. Throws `TRUST_ROOT_INVALID`. */
export function trustedSignatureLog(input: LogInput): TrustedLog {
  const { asymmetricKeyType: type } = oneKey(input);
  if (type !== "ec" && type !== "ed25519")
    throw invalidTrustRoot(input.where, `the key is ${type}, and logs of signatures sign with ECDSA or Ed25519`);
  return trustedLog(input);
}
