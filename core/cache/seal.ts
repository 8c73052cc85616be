import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { activeKey, type Keyring, type SealKey } from "./keyring.ts";
import { readRecords, type SealedRecords } from "./record.ts";

/** Why an annotation was not believed. Each is a metric label. */
export type RefusalReason = "too-large" | "unsigned" | "header" | "unknown-key" | "signature" | "format";

export type Opened =
  | { readonly kind: "opened"; readonly sealed: SealedRecords }
  | { readonly kind: "refused"; readonly reason: RefusalReason };

/** Annotations longer than this are refused before a byte of them is looked at. */
export const SEALED_LIMIT = 64 * 1024;

const TYPE = "entrepot-cache+jws";
const SIGNATURE_LINE = "signature: ";
const DETACHED = /^([A-Za-z0-9_-]{1,512})\.\.([A-Za-z0-9_-]{86})$/; // Ed25519: 64 bytes

const publicKeyOf = ({ kty, crv, x }: SealKey): KeyObject => createPublicKey({ key: { kty, crv, x }, format: "jwk" });

function privateKeyOf({ kty, crv, x, d }: SealKey): KeyObject | undefined {
  return d === undefined ? undefined : createPrivateKey({ key: { kty, crv, x, d }, format: "jwk" });
}

/** What is signed (RFC 7515, section 5.1, with RFC 7797's unencoded payload): the header in base64url, a dot, and the text as it is. */
const signingInput = (header: string, text: string): Buffer => Buffer.from(`${header}.${text}`, "utf8");

/**
 * Seals and opens with one keyring, whose keys it holds imported. Immutable: a rotated keyring is a new Sealer. By node:crypto, at once: a JWS
 * library's asynchronous Web Cryptography takes twice as long, on the way of every Pod (a test has one check the other).
 */
export class Sealer {
  readonly #header: string;
  readonly #signingKey: KeyObject | undefined;
  readonly #verifyingKeys: ReadonlyMap<string, KeyObject>;

  /** Imports the keys of `keyring`, which `parseKeyring` has read. Without private parts it opens but cannot seal. */
  constructor(keyring: Keyring) {
    const active = activeKey(keyring);
    const header = { alg: "EdDSA", b64: false, crit: ["b64"], kid: active.kid, typ: TYPE };
    this.#header = Buffer.from(JSON.stringify(header)).toString("base64url");
    this.#signingKey = privateKeyOf(active);
    this.#verifyingKeys = new Map(keyring.keys.map((key) => [key.kid, publicKeyOf(key)]));
  }

  /**
   * The annotation: the records as `writeRecords` gives them, then a `signature:` line with a detached JWS (RFC 7797, `b64: false`) over every byte
   * before that line. Ed25519 is deterministic (RFC 8032), so the same records and key give the same bytes.
   */
  seal(text: string): string {
    if (this.#signingKey === undefined) throw new TypeError("this keyring has no private key: it can open, not seal");
    const signature = sign(null, signingInput(this.#header, text), this.#signingKey).toString("base64url");
    return `${text}${SIGNATURE_LINE}${this.#header}..${signature}\n`;
  }

  /**
   * Believes an annotation or says why not. Size first, then the signature, and only then is anything parsed. The algorithm is
   * ours, the key is one of ours; what the header offers besides (`jku`, `jwk`, `x5u`) is never read.
   */
  open(annotation: string): Opened {
    if (annotation.length > SEALED_LIMIT) return { kind: "refused", reason: "too-large" };
    // Half a surrogate pair would be signed as U+FFFD is: two texts with one signature.
    if (!annotation.isWellFormed()) return { kind: "refused", reason: "format" };
    const parts = splitSignature(annotation);
    if (parts === undefined) return { kind: "refused", reason: "unsigned" };
    const kid = keyId(parts.header);
    if (kid === undefined) return { kind: "refused", reason: "header" };
    const key = this.#verifyingKeys.get(kid);
    if (key === undefined) return { kind: "refused", reason: "unknown-key" };
    const signature = Buffer.from(parts.signature, "base64url");
    if (!verify(null, signingInput(parts.header, parts.text), key, signature))
      return { kind: "refused", reason: "signature" };
    const sealed = readRecords(parts.text);
    return sealed === undefined ? { kind: "refused", reason: "format" } : { kind: "opened", sealed };
  }
}

/** The id of the key that an annotation claims to be sealed with, which is true only of one that opened; undefined where it claims none. */
export function claimedKeyId(annotation: string): string | undefined {
  const parts = annotation.length > SEALED_LIMIT ? undefined : splitSignature(annotation);
  return parts && keyId(parts.header);
}

function splitSignature(annotation: string): { text: string; header: string; signature: string } | undefined {
  const line = annotation.lastIndexOf(`\n${SIGNATURE_LINE}`);
  if (line < 0) return undefined;
  const match = DETACHED.exec(annotation.slice(line + 1 + SIGNATURE_LINE.length).replace(/\n$/, ""));
  const [, header, signature = ""] = match ?? [];
  // Base64's last digit has spare bits: one signature, one spelling.
  if (Buffer.from(signature, "base64url").toString("base64url") !== signature) return undefined;
  return header === undefined ? undefined : { text: annotation.slice(0, line + 1), header, signature };
}

function keyId(header: string): string | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(header, "base64url").toString("utf8"));
  } catch {
    return undefined;
  }
  if (typeof parsed !== "object" || parsed === null) return undefined;
  const fields = parsed as Readonly<Record<string, unknown>>;
  const { alg, b64, crit, typ } = fields;
  // `crit` lists what a reader must understand: b64 it is told to, and nothing else is known here.
  const isCritical = Array.isArray(crit) && crit.length === 1 && crit[0] === "b64";
  const ours = alg === "EdDSA" && b64 === false && typ === TYPE && isCritical;
  return ours && typeof fields["kid"] === "string" ? fields["kid"] : undefined;
}
