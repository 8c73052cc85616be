import { constants, type KeyObject, verify } from "node:crypto";
import { ASN1Obj } from "@sigstore/core";
import { type ContentHash, hashOf } from "./content.ts";
import { Refusal } from "./refusal.ts";

/** What an RFC 3161 time-stamp token says, and who says that it says it. Nothing of it is verified. */
export interface TimestampToken {
  readonly time: Date;
  /** The hash of what was stamped. */
  readonly imprint: { readonly algorithm: ContentHash; readonly digest: Buffer };
  /** How the token names the certificate of its signer. */
  readonly signer: { readonly issuer: Buffer; readonly serialNumber: Buffer } | { readonly keyIdentifier: Buffer };
  /** DER of the certificates that it brings. */
  readonly certificates: readonly Buffer[];
  /** Whether the signature over the token is of this key. */
  isSignedBy(key: KeyObject): boolean;
}

const SIGNED_DATA = "1.2.840.113549.1.7.2";
const TST_INFO = "1.2.840.113549.1.9.16.1.4";
const CONTENT_TYPE = "1.2.840.113549.1.9.3";
const MESSAGE_DIGEST = "1.2.840.113549.1.9.4";
const RSA_PSS = "1.2.840.113549.1.1.10";
const ED25519 = "1.3.101.112";
const SET = 0x31;
const GRANTED: readonly bigint[] = [0n, 1n]; // granted, grantedWithMods

const DIGESTS: Readonly<Record<string, ContentHash>> = {
  "2.16.840.1.101.3.4.2.4": "sha224",
  "2.16.840.1.101.3.4.2.1": "sha256",
  "2.16.840.1.101.3.4.2.2": "sha384",
  "2.16.840.1.101.3.4.2.3": "sha512",
};

// Signature algorithms that name their hash; the others go by the signer's digest algorithm.
const SIGNATURES: Readonly<Record<string, ContentHash>> = {
  "1.2.840.10045.4.3.1": "sha224",
  "1.2.840.10045.4.3.2": "sha256",
  "1.2.840.10045.4.3.3": "sha384",
  "1.2.840.10045.4.3.4": "sha512",
  "1.2.840.113549.1.1.14": "sha224",
  "1.2.840.113549.1.1.11": "sha256",
  "1.2.840.113549.1.1.12": "sha384",
  "1.2.840.113549.1.1.13": "sha512",
};

/** The child at a path of indexes. */
function at(object: ASN1Obj | undefined, ...path: readonly number[]): ASN1Obj {
  const found = path.reduce((value: ASN1Obj | undefined, index) => value?.subs[index], object);
  if (found === undefined) throw new Refusal("the timestamp is malformed");
  return found;
}

function tagged(object: ASN1Obj, tag: number): ASN1Obj | undefined {
  return object.subs.find((sub) => sub.tag.isContextSpecific(tag));
}

function digestOf(algorithm: ASN1Obj): ContentHash {
  const digest = DIGESTS[at(algorithm, 0).toOID()];
  if (digest === undefined) throw new Refusal("the timestamp uses a hash algorithm that is not accepted");
  return digest;
}

/** A TimeStampResp (RFC 3161 section 2.4.2) that granted it, or the token alone. */
function tokenOf(der: Buffer): ASN1Obj {
  const outer = ASN1Obj.parseBuffer(Buffer.from(der));
  if (at(outer, 0).tag.isOID()) return outer;
  if (!GRANTED.includes(at(outer, 0, 0).toInteger()))
    throw new Refusal("the timestamp authority did not grant the timestamp");
  return at(outer, 1);
}

/** One attribute of the signed ones (RFC 5652 section 5.3): present once, with one value. */
function attribute(attributes: ASN1Obj, type: string): ASN1Obj {
  const found = attributes.subs.filter((one) => at(one, 0).toOID() === type);
  const values = found[0]?.subs[1]?.subs;
  if (found.length !== 1 || values?.length !== 1) throw new Refusal("the timestamp's signed attributes are malformed");
  return at(values[0]);
}

function signerOf(sid: ASN1Obj): TimestampToken["signer"] {
  if (sid.tag.isContextSpecific(0)) return { keyIdentifier: sid.value };
  return { issuer: at(sid, 0).value, serialNumber: at(sid, 1).value };
}

function isSigned(key: KeyObject, algorithm: string, digest: ContentHash, data: Buffer, signature: Buffer): boolean {
  const hash = algorithm === ED25519 ? null : (SIGNATURES[algorithm] ?? digest);
  const padding = algorithm === RSA_PSS ? { padding: constants.RSA_PKCS1_PSS_PADDING } : {};
  try {
    return verify(hash, data, { key, ...padding }, signature);
  } catch {
    return false; // a key or a signature that OpenSSL cannot use
  }
}

/**
 * Reads an RFC 3161 response or token: CMS SignedData (RFC 5652) with one signer. Checks what needs no key: content types, and that the
 * signed attributes are about the token's content. Throws `Refusal`, or whatever the ASN.1 parser throws.
 */
export function readTimestamp(der: Buffer): TimestampToken {
  const token = tokenOf(der);
  if (at(token, 0).toOID() !== SIGNED_DATA) throw new Refusal("the timestamp is no signed data");
  const data = at(token, 1, 0);
  const encapsulated = at(data, 2);
  if (at(encapsulated, 0).toOID() !== TST_INFO) throw new Refusal("the timestamp holds no TSTInfo");
  const content = at(encapsulated, 1, 0).value;
  const infos = at(data.subs.at(-1)).subs;
  const info = at(infos[0]);
  const attributes = tagged(info, 0);
  if (infos.length !== 1 || attributes === undefined)
    throw new Refusal("the timestamp must have one signer, with attributes");
  const digest = digestOf(at(info, 2));
  if (
    attribute(attributes, CONTENT_TYPE).toOID() !== TST_INFO ||
    !attribute(attributes, MESSAGE_DIGEST).value.equals(hashOf(digest, content))
  )
    throw new Refusal("the timestamp's signed attributes are not about its content");
  const signed = Buffer.from(attributes.toDER());
  signed[0] = SET; // RFC 5652 section 5.4
  const signature = at(info, 5).value;
  const algorithm = at(info, 4, 0).toOID();
  const tst = ASN1Obj.parseBuffer(Buffer.from(content));
  return {
    time: at(tst, 4).toDate(),
    imprint: { algorithm: digestOf(at(tst, 2, 0)), digest: at(tst, 2, 1).value },
    signer: signerOf(at(info, 1)),
    certificates: (tagged(data, 0)?.subs ?? []).map((certificate) => Buffer.from(certificate.toDER())),
    isSignedBy: (key) => isSigned(key, algorithm, digest, signed, signature),
  };
}
