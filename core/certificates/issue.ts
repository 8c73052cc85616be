import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { bits, boolean, context, integer, octets, oid, sequence, set, time, utf8 } from "./der.ts";

/** A new certificate with its private key, as PEM (PKCS #8). */
export interface IssuedPair {
  readonly certificate: string;
  readonly key: string;
}

/** Who signs: the common name of the authority's subject, and its private key. */
export interface Issuer {
  readonly name: string;
  readonly key: KeyObject;
}

const ECDSA_SHA256 = sequence(oid("1.2.840.10045.4.3.2"));
const COMMON_NAME = "2.5.4.3";
const KEY_IDENTIFIER = { subject: "2.5.29.14", authority: "2.5.29.35" };
const KEY_USAGE = "2.5.29.15";
const ALTERNATIVE_NAME = "2.5.29.17";
const BASIC_CONSTRAINTS = "2.5.29.19";
const EXTENDED_KEY_USAGE = "2.5.29.37";
const SERVER_AUTHENTICATION = "1.3.6.1.5.5.7.3.1";
const SIGNS_CERTIFICATES = bits(Buffer.from([0b0000_0110]), 1); // keyCertSign, cRLSign
const SIGNS_HANDSHAKES = bits(Buffer.from([0b1000_0000]), 7); // digitalSignature

const SKEW_MS = 5 * 60_000; // clocks of nodes differ: valid from a little before now

function publicDer(key: KeyObject): Buffer {
  return createPublicKey(key).export({ type: "spki", format: "der" });
}

/** RFC 7093 method 1: the leftmost 160 bits of the SHA-256 of the public key (here of its whole SPKI: any unique value will do). */
function identifier(key: KeyObject): Buffer {
  return createHash("sha256").update(publicDer(key)).digest().subarray(0, 20);
}

function name(commonName: string): Buffer {
  return sequence(set(sequence(oid(COMMON_NAME), utf8(commonName))));
}

function extension(id: string, value: Buffer, critical: boolean): Buffer {
  return sequence(oid(id), ...(critical ? [boolean(true)] : []), octets(value));
}

function serialNumber(): Buffer {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0] ?? 0) & 0x7f || 0x01; // positive, and 16 bytes long
  return integer(bytes);
}

interface Content {
  readonly subject: string;
  readonly key: KeyObject;
  readonly issuer: Issuer;
  readonly lifeSeconds: number;
  readonly extensions: readonly Buffer[];
}

function certificate({ subject, key, issuer, lifeSeconds, extensions }: Content, now: Date): string {
  const validity = sequence(
    time(new Date(now.getTime() - SKEW_MS)),
    time(new Date(now.getTime() + lifeSeconds * 1000)),
  );
  const body = sequence(
    context(0, integer(Buffer.from([2])), true), // v3
    serialNumber(),
    ECDSA_SHA256,
    name(issuer.name),
    validity,
    name(subject),
    publicDer(key),
    context(3, sequence(...extensions), true),
  );
  const der = sequence(body, ECDSA_SHA256, bits(sign("sha256", body, issuer.key)));
  const base64 = der.toString("base64").replace(/.{64}(?=.)/g, "$&\n");
  return `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`;
}

function newKey(): { readonly key: KeyObject; readonly pem: string } {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { key: privateKey, pem: privateKey.export({ type: "pkcs8", format: "pem" }).toString() };
}

/**
 * A new authority (RFC 5280): self-signed, ECDSA P-256, may sign servers' certificates only. Its name carries a part of its key's
 * hash, so that an authority and its successor are never taken for each other. `owner` says in it what it is for.
 */
export function issueAuthority(lifeSeconds: number, now: Date, owner = "webhook"): IssuedPair {
  const { key, pem } = newKey();
  const id = identifier(key);
  const subject = `entrepot ${owner} authority ${id.toString("hex", 0, 4)}`;
  const extensions = [
    extension(BASIC_CONSTRAINTS, sequence(boolean(true), integer(Buffer.from([0]))), true),
    extension(KEY_USAGE, SIGNS_CERTIFICATES, true),
    extension(KEY_IDENTIFIER.subject, octets(id), false),
  ];
  return {
    certificate: certificate({ subject, key, issuer: { name: subject, key }, lifeSeconds, extensions }, now),
    key: pem,
  };
}

const IPV4 = /^[0-9]{1,3}(?:\.[0-9]{1,3}){3}$/;

/** Whether a name that a server is called by is an IPv4 address, for which certificates have entries of another type. */
export function isAddress(serverName: string): boolean {
  return IPV4.test(serverName);
}

/** RFC 5280 section 4.2.1.6: dNSName or iPAddress. */
function alternativeName(serverName: string): Buffer {
  if (isAddress(serverName)) return context(7, Buffer.from(serverName.split(".").map(Number)), false);
  return context(2, Buffer.from(serverName, "ascii"), false);
}

/** A new serving certificate for the DNS names or IPv4 addresses `names`, ECDSA P-256, signed by `issuer`. The subject is a constant: a name may be too long for it. */
export function issueServing(names: readonly string[], issuer: Issuer, lifeSeconds: number, now: Date): IssuedPair {
  const { key, pem } = newKey();
  const subject = "entrepot webhook";
  const extensions = [
    extension(BASIC_CONSTRAINTS, sequence(), true),
    extension(KEY_USAGE, SIGNS_HANDSHAKES, true),
    extension(EXTENDED_KEY_USAGE, sequence(oid(SERVER_AUTHENTICATION)), false),
    extension(ALTERNATIVE_NAME, sequence(...names.map(alternativeName)), false),
    extension(KEY_IDENTIFIER.subject, octets(identifier(key)), false),
    extension(KEY_IDENTIFIER.authority, sequence(context(0, identifier(issuer.key), false)), false),
  ];
  return { certificate: certificate({ subject, key, issuer, lifeSeconds, extensions }, now), key: pem };
}
