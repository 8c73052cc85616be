import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { X509Certificate } from "@sigstore/core";
import {
  bits,
  boolean,
  context,
  integer,
  octets,
  oid,
  sequence,
  set,
  time,
  utf8,
} from "../../../core/certificates/der.ts";

/** A certificate (DER) and its private key. */
export interface Forged {
  readonly der: Buffer;
  readonly name: string;
  readonly key: KeyObject;
}

/** What a certificate says, as good or as bad as a test wants it. */
export interface CertificateOptions {
  readonly name: string;
  /** Absent: it signs itself. */
  readonly issuer?: Forged;
  /** The serial number and the issuer's name of this certificate (DER), in place of its own. */
  readonly passingFor?: Buffer;
  readonly key?: KeyObject;
  /** Who signs it in truth, whatever it says. */
  readonly signedBy?: KeyObject;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly ca?: boolean;
  readonly pathLength?: number;
  readonly signsCertificates?: boolean;
  /** Extended key usages; absent: no such extension. */
  readonly purposes?: readonly string[];
  /** GeneralNames, DER. */
  readonly subjects?: readonly Buffer[];
  /** Further extensions: value by object identifier. */
  readonly extensions?: readonly (readonly [id: string, value: Buffer, critical?: boolean])[];
  /** Gets its promise into the certificate. */
  readonly ctLog?: ForgedCtLog;
}

/** A log of certificates that promises what a test wants. */
export interface ForgedCtLog {
  readonly key: KeyObject;
  readonly at: Date;
  /** Whose log it says to be; absent: its own. */
  readonly passingFor?: KeyObject;
  /** SCT extensions: opaque bytes, as logs of static tiles have them. */
  readonly sctExtensions?: Buffer;
}

export const CODE_SIGNING = "1.3.6.1.5.5.7.3.3";
export const TIME_STAMPING = "1.3.6.1.5.5.7.3.8";
export const FULCIO = "1.3.6.1.4.1.57264.1";
const ECDSA_SHA256 = sequence(oid("1.2.840.10045.4.3.2"));
const SCT_LIST = "1.3.6.1.4.1.11129.2.4.2";

export const uri = (text: string): Buffer => context(6, Buffer.from(text), false);
export const email = (text: string): Buffer => context(1, Buffer.from(text), false);
export const dns = (text: string): Buffer => context(2, Buffer.from(text), false);
/** Fulcio's OtherName for user names. */
export const userName = (text: string): Buffer =>
  context(0, Buffer.concat([oid(`${FULCIO}.7`), context(0, utf8(text), true)]), true);

export const newKey = (namedCurve = "P-256"): KeyObject => generateKeyPairSync("ec", { namedCurve }).privateKey;
export const spki = (key: KeyObject): Buffer =>
  (key.type === "public" ? key : createPublicKey(key)).export({ type: "spki", format: "der" });
export const sha256 = (...parts: readonly Buffer[]): Buffer =>
  createHash("sha256").update(Buffer.concat(parts)).digest();

const identifier = (key: KeyObject): Buffer => sha256(spki(key)).subarray(0, 20);
const commonName = (name: string): Buffer => sequence(set(sequence(oid("2.5.4.3"), utf8(name))));

function extension(id: string, value: Buffer, critical = false): Buffer {
  return sequence(oid(id), ...(critical ? [boolean(true)] : []), octets(value));
}

function extensionsOf(options: CertificateOptions, key: KeyObject, issuerKey: KeyObject): Buffer[] {
  const { ca = false, pathLength, signsCertificates = ca, purposes, subjects, extensions = [] } = options;
  const depth = pathLength === undefined ? [] : [integer(Buffer.from([pathLength]))];
  const usage = signsCertificates ? bits(Buffer.from([0b0000_0110]), 1) : bits(Buffer.from([0b1000_0000]), 7);
  return [
    extension("2.5.29.19", ca ? sequence(boolean(true), ...depth) : sequence(), true),
    extension("2.5.29.15", usage, true),
    extension("2.5.29.14", octets(identifier(key))),
    extension("2.5.29.35", sequence(context(0, identifier(issuerKey), false))),
    ...(purposes === undefined ? [] : [extension("2.5.29.37", sequence(...purposes.map(oid)))]),
    ...(subjects === undefined ? [] : [extension("2.5.29.17", sequence(...subjects), true)]),
    ...extensions.map(([id, value, critical]) => extension(id, value, critical)),
  ];
}

const uint = (value: number, bytes: number): Buffer => {
  const buffer = Buffer.alloc(bytes);
  buffer.writeUIntBE(value, 0, bytes);
  return buffer;
};

/** RFC 6962 section 3.2 and 3.3: a list of one promise over the certificate without it. */
function sctList(
  { key, at, passingFor = key, sctExtensions = Buffer.alloc(0) }: ForgedCtLog,
  tbs: Buffer,
  issuer: KeyObject,
): Buffer {
  const stamp = Buffer.alloc(8);
  stamp.writeBigUInt64BE(BigInt(at.getTime()));
  const more = Buffer.concat([uint(sctExtensions.length, 2), sctExtensions]);
  const entry = Buffer.concat([sha256(spki(issuer)), uint(tbs.length, 3), tbs]);
  const signed = Buffer.concat([Buffer.from([0, 0]), stamp, uint(1, 2), entry, more]);
  const signature = sign("sha256", signed, key);
  const sct = Buffer.concat([
    Buffer.from([0]),
    sha256(spki(passingFor)),
    stamp,
    more,
    Buffer.from([4, 3]),
    uint(signature.length, 2),
    signature,
  ]);
  return octets(Buffer.concat([uint(sct.length + 2, 2), uint(sct.length, 2), sct]));
}

/** A certificate by its description, signed with ECDSA and SHA-256. */
export function forgeCertificate(options: CertificateOptions): Forged {
  const { name, key = newKey(), notBefore, notAfter, ctLog } = options;
  const issuer = options.issuer ?? { name, key };
  const extensions = extensionsOf(options, key, issuer.key);
  const model = options.passingFor === undefined ? undefined : X509Certificate.parse(Buffer.from(options.passingFor));
  const serial = integer(model?.serialNumber ?? randomBytes(16));
  const tbs = (all: readonly Buffer[]): Buffer =>
    sequence(
      context(0, integer(Buffer.from([2])), true),
      serial,
      ECDSA_SHA256,
      model === undefined ? commonName(issuer.name) : sequence(model.issuer),
      sequence(time(notBefore), time(notAfter)),
      commonName(name),
      spki(key),
      context(3, sequence(...all), true),
    );
  const promised = ctLog === undefined ? [] : [extension(SCT_LIST, sctList(ctLog, tbs(extensions), issuer.key))];
  const body = tbs([...extensions, ...promised]);
  return { name, key, der: sequence(body, ECDSA_SHA256, bits(sign("sha256", body, options.signedBy ?? issuer.key))) };
}

/** A certificate in PEM. */
export function pem(der: Buffer): string {
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}
