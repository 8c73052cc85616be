import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
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

/** A certificate authority of the test. */
export interface TestAuthority {
  readonly name: string;
  readonly key: KeyObject;
  readonly pem: string;
}

const ECDSA_SHA256 = sequence(oid("1.2.840.10045.4.3.2"));
const COMMON_NAME = "2.5.4.3";
const CODE_SIGNING = sequence(oid("1.3.6.1.5.5.7.3.3"));
const DAY_MS = 86_400_000;

const publicKey = (key: KeyObject): Buffer => createPublicKey(key).export({ type: "spki", format: "der" });
const identifier = (key: KeyObject): Buffer => createHash("sha256").update(publicKey(key)).digest().subarray(0, 20);
const commonName = (name: string): Buffer => sequence(set(sequence(oid(COMMON_NAME), utf8(name))));

function extension(id: string, value: Buffer, critical = false): Buffer {
  return sequence(oid(id), ...(critical ? [boolean(true)] : []), octets(value));
}

/** A new authority that may sign what signs code: self-signed, or below `issuer`, as Fulcio's intermediate is. */
export function newAuthority(name: string, issuer?: TestAuthority): TestAuthority {
  const key = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  const signer = issuer ?? { name, key };
  const depth = integer(Buffer.from([issuer === undefined ? 1 : 0]));
  const extensions = [
    extension("2.5.29.19", sequence(boolean(true), depth), true), // basic constraints
    extension("2.5.29.15", bits(Buffer.from([0b0000_0110]), 1), true), // key usage: signs certificates and CRLs
    extension("2.5.29.14", octets(identifier(key))),
    extension("2.5.29.35", sequence(context(0, identifier(signer.key), false))),
    ...(issuer === undefined ? [] : [extension("2.5.29.37", CODE_SIGNING)]),
  ];
  const now = Date.now();
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40; // positive, and 16 bytes long
  const body = sequence(
    context(0, integer(Buffer.from([2])), true), // v3
    integer(serial),
    ECDSA_SHA256,
    commonName(signer.name),
    sequence(time(new Date(now - DAY_MS)), time(new Date(now + 365 * DAY_MS))),
    commonName(name),
    publicKey(key),
    context(3, sequence(...extensions), true),
  );
  const der = sequence(body, ECDSA_SHA256, bits(sign("sha256", body, signer.key)));
  return { name, key, pem: toPem(der) };
}

/** A certificate in PEM. */
export function toPem(der: Uint8Array): string {
  const base64 = Buffer.from(der)
    .toString("base64")
    .replace(/.{64}(?=.)/g, "$&\n");
  return `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`;
}
