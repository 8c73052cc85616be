import { X509Certificate as NodeCertificate } from "node:crypto";
import { type ASN1Obj, X509Certificate as ParsedCertificate } from "@sigstore/core";

/** An X.509 certificate, read by OpenSSL for its signature and by @sigstore/core for its fields. */
export interface Certificate {
  readonly der: Buffer;
  readonly x509: NodeCertificate;
  readonly parsed: ParsedCertificate;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** Names itself as its issuer. */
  readonly selfIssued: boolean;
  /** Object identifiers of extensions that whoever does not know them must refuse (RFC 5280 section 4.2). */
  readonly critical: readonly string[];
  /** Of the extended key usage; undefined where the certificate has none, which restricts nothing. */
  readonly purposes: readonly string[] | undefined;
  /** `pathLenConstraint` of the basic constraints. */
  readonly pathLength: number | undefined;
}

/** Object identifiers that RFC 5280 and RFC 3161 assign. */
export const OID = {
  subjectAltName: "2.5.29.17",
  keyUsage: "2.5.29.15",
  basicConstraints: "2.5.29.19",
  nameConstraints: "2.5.29.30",
  extendedKeyUsage: "2.5.29.37",
  anyPurpose: "2.5.29.37.0",
  codeSigning: "1.3.6.1.5.5.7.3.3",
  timeStamping: "1.3.6.1.5.5.7.3.8",
} as const;

const LARGEST = 64 * 1024;

function criticalOf(extensions: readonly ASN1Obj[]): string[] {
  return extensions.flatMap(({ subs: [oid, critical] }) =>
    oid !== undefined && critical?.tag.isBoolean() && critical.toBoolean() ? [oid.toOID()] : [],
  );
}

/** Reads a certificate in DER. Throws whatever the parsers throw, and for one that says anything twice. */
export function readCertificate(der: Buffer): Certificate {
  if (der.length > LARGEST) throw new Error(`a certificate is longer than ${LARGEST} bytes`);
  const parsed = ParsedCertificate.parse(Buffer.from(der)); // all of it: trailing bytes are an error
  const oids = parsed.extensions.map(({ subs: [oid] }) => oid?.toOID());
  if (new Set(oids).size !== oids.length) throw new Error("a certificate has an extension twice");
  const x509 = new NodeCertificate(der);
  const pathLength = parsed.extBasicConstraints?.pathLenConstraint;
  return {
    der,
    x509,
    parsed,
    notBefore: parsed.notBefore,
    notAfter: parsed.notAfter,
    selfIssued: parsed.subject.equals(parsed.issuer),
    critical: criticalOf(parsed.extensions),
    purposes: parsed.extension(OID.extendedKeyUsage)?.valueObj.subs[0]?.subs.map((purpose) => purpose.toOID()),
    pathLength: pathLength === undefined ? undefined : Number(pathLength),
  };
}

const PEM_BLOCK = /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/g;

/** The certificates of a PEM text, in its order. Throws as `readCertificate`. */
export function readCertificates(pem: string): Certificate[] {
  return [...pem.matchAll(PEM_BLOCK)].map(([, body = ""]) => readCertificate(Buffer.from(body, "base64")));
}

/** Whether a time lies between a certificate's notBefore and notAfter, both included. */
export function isValidAt({ notBefore, notAfter }: Certificate, time: Date): boolean {
  return notBefore <= time && time <= notAfter;
}
