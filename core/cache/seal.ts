import { type CryptoKey, FlattenedSign, flattenedVerify, importJWK } from "jose";
import { activeKey, type Keyring } from "./keyring.ts";
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

/** Seals and opens with one keyring, whose keys it holds imported. Immutable: a rotated keyring is a new Sealer. */
export class Sealer {
  readonly #activeKid: string;
  readonly #signingKey: CryptoKey | undefined;
  readonly #verifyingKeys: ReadonlyMap<string, CryptoKey>;

  private constructor(
    activeKid: string,
    signingKey: CryptoKey | undefined,
    verifyingKeys: ReadonlyMap<string, CryptoKey>,
  ) {
    this.#activeKid = activeKid;
    this.#signingKey = signingKey;
    this.#verifyingKeys = verifyingKeys;
  }

  /** Imports the keys of `keyring`. A keyring without private parts opens but cannot seal. */
  static async create(keyring: Keyring): Promise<Sealer> {
    const active = activeKey(keyring);
    const imported = await Promise.all(
      keyring.keys.map(
        async ({ kty, crv, x, kid }) => [kid, (await importJWK({ kty, crv, x }, "EdDSA")) as CryptoKey] as const,
      ),
    );
    const { kty, crv, x, d } = active;
    const signing = d === undefined ? undefined : ((await importJWK({ kty, crv, x, d }, "EdDSA")) as CryptoKey);
    return new Sealer(active.kid, signing, new Map(imported));
  }

  /**
   * The annotation: the records as `writeRecords` gives them, then a `signature:` line with a detached JWS (RFC 7797, `b64: false`) over every byte
   * before that line. Ed25519 is deterministic (RFC 8032), so the same records and key give the same bytes.
   */
  async seal(text: string): Promise<string> {
    if (this.#signingKey === undefined) throw new TypeError("this keyring has no private key: it can open, not seal");
    const jws = await new FlattenedSign(new TextEncoder().encode(text))
      .setProtectedHeader({ alg: "EdDSA", b64: false, crit: ["b64"], kid: this.#activeKid, typ: TYPE })
      .sign(this.#signingKey);
    return `${text}${SIGNATURE_LINE}${jws.protected ?? ""}..${jws.signature}\n`;
  }

  /**
   * Believes an annotation or says why not. Size first, then the signature, and only then is anything parsed. The algorithm is
   * ours, the key is one of ours; what the header offers besides (`jku`, `jwk`, `x5u`) is never read.
   */
  async open(annotation: string): Promise<Opened> {
    if (annotation.length > SEALED_LIMIT) return { kind: "refused", reason: "too-large" };
    // Half a surrogate pair would be signed as U+FFFD is: two texts with one signature.
    if (!annotation.isWellFormed()) return { kind: "refused", reason: "format" };
    const parts = splitSignature(annotation);
    if (parts === undefined) return { kind: "refused", reason: "unsigned" };
    const kid = keyId(parts.header);
    if (kid === undefined) return { kind: "refused", reason: "header" };
    const key = this.#verifyingKeys.get(kid);
    if (key === undefined) return { kind: "refused", reason: "unknown-key" };
    try {
      const input = {
        protected: parts.header,
        payload: new TextEncoder().encode(parts.text),
        signature: parts.signature,
      };
      await flattenedVerify(input, key, { algorithms: ["EdDSA"] });
    } catch {
      return { kind: "refused", reason: "signature" };
    }
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
  const ours = fields["alg"] === "EdDSA" && fields["b64"] === false && fields["typ"] === TYPE;
  return ours && typeof fields["kid"] === "string" ? fields["kid"] : undefined;
}
