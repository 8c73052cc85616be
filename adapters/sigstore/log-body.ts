import { createPublicKey, type KeyObject, X509Certificate } from "node:crypto";
import { type Fields, fieldsOf, parseJson, stringField } from "../../core/json.ts";
import { base64 } from "./candidate.ts";
import { type ContentHash, hashOf, type SignedContent } from "./content.ts";
import { Refusal, reading } from "./refusal.ts";

/** Who an entry must name as the signer: the certificate itself, or the key (bare, or in a certificate). */
export type Signer =
  | { readonly kind: "certificate"; readonly der: Buffer }
  | { readonly kind: "key"; readonly key: KeyObject };

interface Kind {
  readonly kind: string;
  readonly version: string;
}

interface Claim {
  readonly content: SignedContent;
  readonly signer: Signer;
}

type CheckSpec = (spec: Fields, claim: Claim) => void;

const HASHES: Readonly<Record<string, ContentHash>> = {
  sha256: "sha256",
  sha384: "sha384",
  sha512: "sha512",
  SHA2_256: "sha256",
  SHA2_384: "sha384",
  SHA2_512: "sha512",
};

function other(what: string): Refusal {
  return new Refusal(`the log entry is about another signature (its ${what} is not this one's)`);
}

/** The fields at a path of names. */
function at(fields: unknown, ...path: readonly string[]): Fields | undefined {
  return path.reduce<Fields | undefined>((value, name) => fieldsOf(value?.[name]), fieldsOf(fields));
}

function decoded(fields: unknown, name: string): Buffer | undefined {
  const text = stringField(fields, name);
  return text === undefined ? undefined : base64(text);
}

/** base64 of base64: how `intoto` 0.0.2 writes what was base64 in the envelope already. */
function decodedTwice(fields: unknown, name: string): Buffer | undefined {
  const once = decoded(fields, name);
  return once === undefined ? undefined : base64(once.toString("latin1"));
}

/** The one of an envelope's signatures whose field `name`, decoded, is the signature that is looked for. */
function signatureAmong(
  list: unknown,
  name: string,
  decode: (fields: unknown, name: string) => Buffer | undefined,
  { content }: Claim,
): unknown {
  const signatures: readonly unknown[] = Array.isArray(list) ? list : [];
  const found = signatures.find((one) => decode(one, name)?.equals(content.signature));
  if (found === undefined) throw other("signature");
  return found;
}

function checkSignature(logged: Buffer | undefined, { content }: Claim): void {
  if (logged === undefined || !logged.equals(content.signature)) throw other("signature");
}

function checkHash(
  algorithm: string | undefined,
  value: Buffer | undefined,
  of: (hash: ContentHash) => Buffer | undefined,
): void {
  const hash = HASHES[algorithm ?? ""];
  const own = hash === undefined ? undefined : of(hash);
  if (own === undefined || value === undefined || !own.equals(value)) throw other("hash");
}

function hexField(fields: unknown, name: string): Buffer | undefined {
  const text = stringField(fields, name);
  return text !== undefined && /^(?:[0-9a-f]{2})+$/.test(text) ? Buffer.from(text, "hex") : undefined;
}

function hexHash(hash: Fields | undefined, of: (hash: ContentHash) => Buffer | undefined): void {
  checkHash(stringField(hash, "algorithm"), hexField(hash, "value"), of);
}

function payloadHash({ content: { envelope } }: Claim): (hash: ContentHash) => Buffer | undefined {
  return (hash) => (envelope === undefined ? undefined : hashOf(hash, envelope.payload));
}

function sameKey(one: KeyObject, two: KeyObject): boolean {
  return one.export({ type: "spki", format: "der" }).equals(two.export({ type: "spki", format: "der" }));
}

function checkCertificate(der: Buffer, signer: Signer): void {
  const same =
    signer.kind === "certificate" ? der.equals(signer.der) : sameKey(new X509Certificate(der).publicKey, signer.key);
  if (!same) throw other(signer.kind);
}

function checkKey(key: KeyObject, signer: Signer): void {
  if (signer.kind !== "key" || !sameKey(key, signer.key)) throw other(signer.kind);
}

/** Rekor v1: PEM, a certificate or a public key. */
function checkPem(pem: Buffer | undefined, { signer }: Claim): void {
  const text = pem?.toString("latin1") ?? "";
  reading("the log entry's public key", () => {
    if (text.includes("-----BEGIN CERTIFICATE-----")) checkCertificate(new X509Certificate(text).raw, signer);
    else checkKey(createPublicKey(text), signer);
  });
}

/** Rekor v2: DER, a certificate or a public key. */
function checkVerifier(verifier: Fields | undefined, { signer }: Claim): void {
  const certificate = decoded(verifier?.["x509Certificate"], "rawBytes");
  const key = decoded(verifier?.["publicKey"], "rawBytes");
  reading("the log entry's public key", () => {
    if (certificate !== undefined) checkCertificate(certificate, signer);
    else if (key !== undefined) checkKey(createPublicKey({ key, format: "der", type: "spki" }), signer);
    else throw other(signer.kind);
  });
}

function hashedrekord001(spec: Fields, claim: Claim): void {
  checkSignature(decoded(spec["signature"], "content"), claim);
  hexHash(at(spec, "data", "hash"), (hash) => claim.content.digest(hash));
  checkPem(decoded(at(spec, "signature", "publicKey"), "content"), claim);
}

function dsse001(spec: Fields, claim: Claim): void {
  const signature = signatureAmong(spec["signatures"], "signature", decoded, claim);
  hexHash(at(spec, "payloadHash"), payloadHash(claim));
  checkPem(decoded(signature, "verifier"), claim);
}

/** The entry has no signature: its hash of the whole envelope, as it was logged, is what speaks of this one. */
function intoto001(spec: Fields, claim: Claim): void {
  const { envelope } = claim.content;
  const hash = at(spec, "content", "hash");
  const value = hexField(hash, "value");
  const known = envelope === undefined ? [] : [hashOf("sha256", envelope.json), envelope.storedDigest];
  if (
    stringField(hash, "algorithm") !== "sha256" ||
    !known.some((digest) => value !== undefined && digest?.equals(value))
  )
    throw other("envelope");
  checkPem(decoded(spec, "publicKey"), claim);
}

function intoto002(spec: Fields, claim: Claim): void {
  const signatures = at(spec, "content", "envelope")?.["signatures"];
  const signature = signatureAmong(signatures, "sig", decodedTwice, claim);
  hexHash(at(spec, "content", "payloadHash"), payloadHash(claim));
  checkPem(decoded(signature, "publicKey"), claim);
}

function hashedrekord002(spec: Fields, claim: Claim): void {
  const { data, signature } = at(spec, "hashedRekordV002") ?? {};
  checkSignature(decoded(signature, "content"), claim);
  checkHash(stringField(data, "algorithm"), decoded(data, "digest"), (hash) => claim.content.digest(hash));
  checkVerifier(at(signature, "verifier"), claim);
}

function dsse002(spec: Fields, claim: Claim): void {
  const body = at(spec, "dsseV002");
  const signature = signatureAmong(body?.["signatures"], "content", decoded, claim);
  const hash = body?.["payloadHash"];
  checkHash(stringField(hash, "algorithm"), decoded(hash, "digest"), payloadHash(claim));
  checkVerifier(at(signature, "verifier"), claim);
}

const CHECKS: ReadonlyMap<string, CheckSpec> = new Map([
  ["hashedrekord 0.0.1", hashedrekord001],
  ["dsse 0.0.1", dsse001],
  ["intoto 0.0.1", intoto001],
  ["intoto 0.0.2", intoto002],
  ["hashedrekord 0.0.2", hashedrekord002],
  ["dsse 0.0.2", dsse002],
]);

/**
 * Checks that the body of a log entry is about exactly this signature: the signature itself, the hash of what was signed, and who signed.
 * Kinds and versions are those of Rekor v1 and v2. Throws `Refusal`.
 */
export function checkBody(body: Buffer, declared: Kind | undefined, content: SignedContent, signer: Signer): void {
  const fields = fieldsOf(parseJson(body.toString("utf8")));
  const spec = fieldsOf(fields?.["spec"]);
  const kind = `${stringField(fields, "kind")} ${stringField(fields, "apiVersion")}`;
  const check = CHECKS.get(kind);
  if (spec === undefined || check === undefined) throw new Refusal("the log entry is of a kind that is not known here");
  if (declared !== undefined && kind !== `${declared.kind} ${declared.version}`)
    throw new Refusal("the log entry is of another kind than its bundle says");
  check(spec, { content, signer });
}
