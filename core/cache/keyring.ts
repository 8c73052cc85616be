import { createHash, generateKeyPairSync } from "node:crypto";
import { DomainError } from "../errors.ts";

export type KeyringErrorCode = "KEYRING_INVALID";

/** A seal key as a JWK (RFC 8037, Ed25519); `d` is the private part, absent in what auditors get. */
export interface SealKey {
  readonly kty: "OKP";
  readonly crv: "Ed25519";
  readonly alg: "EdDSA";
  readonly use: "sig";
  readonly kid: string;
  readonly x: string;
  readonly d?: string;
  /** Seconds since the epoch: when it was made, and when it stopped signing. */
  readonly iat: number;
  readonly retired?: number;
}

/** A JWK set: exactly one key without `retired` signs, the others only verify. */
export interface Keyring {
  readonly keys: readonly SealKey[];
}

const SIZE_LIMIT = 64 * 1024;
const BASE64URL_32 = /^[A-Za-z0-9_-]{43}$/;

function isSealKey(value: unknown): value is SealKey {
  if (typeof value !== "object" || value === null) return false;
  const key = value as Readonly<Record<string, unknown>>;
  const text = (name: string, pattern: RegExp) => typeof key[name] === "string" && pattern.test(key[name]);
  return (
    key["kty"] === "OKP" &&
    key["crv"] === "Ed25519" &&
    key["alg"] === "EdDSA" &&
    key["use"] === "sig" &&
    text("kid", /^[A-Za-z0-9_-]{1,64}$/) &&
    text("x", BASE64URL_32) &&
    (key["d"] === undefined || text("d", BASE64URL_32)) &&
    typeof key["iat"] === "number" &&
    (key["retired"] === undefined || typeof key["retired"] === "number")
  );
}

/** Reads a JWK set of seal keys. Throws `KEYRING_INVALID`, without a byte of the key in the message. */
export function parseKeyring(text: string): Keyring {
  const invalid = (why: string) =>
    new DomainError<KeyringErrorCode>("KEYRING_INVALID", `seal keyring: ${why}`, { terminal: true });
  if (text.length > SIZE_LIMIT) throw invalid(`larger than ${SIZE_LIMIT} bytes`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw invalid("not JSON"); // the parser's own message would quote key material
  }
  const keys = typeof parsed === "object" && parsed !== null ? (parsed as { keys?: unknown }).keys : undefined;
  if (!Array.isArray(keys) || !keys.every(isSealKey)) throw invalid("not a JWK set of Ed25519 signature keys");
  if (keys.filter((key) => key.retired === undefined).length !== 1) throw invalid("exactly one key must be active");
  if (new Set(keys.map((key) => key.kid)).size !== keys.length) throw invalid("two keys have the same kid");
  return { keys };
}

/** The key that signs. */
export function activeKey(keyring: Keyring): SealKey {
  const key = keyring.keys.find((candidate) => candidate.retired === undefined);
  if (key === undefined)
    throw new DomainError<KeyringErrorCode>("KEYRING_INVALID", "seal keyring: no active key", { terminal: true });
  return key;
}

/** A new Ed25519 key; its kid is the RFC 7638 thumbprint. `iat` is `now` in seconds. */
export function newSealKey(now: Date): SealKey {
  const { x, d } = generateKeyPairSync("ed25519").privateKey.export({ format: "jwk" });
  if (x === undefined || d === undefined)
    throw new DomainError<KeyringErrorCode>("KEYRING_INVALID", "key generation gave no JWK");
  const kid = createHash("sha256")
    .update(JSON.stringify({ crv: "Ed25519", kty: "OKP", x }))
    .digest("base64url");
  return { kty: "OKP", crv: "Ed25519", alg: "EdDSA", use: "sig", kid, x, d, iat: Math.floor(now.getTime() / 1000) };
}

export interface RotationRule {
  /** A key signs for this long. */
  readonly rotateAfterSeconds: number;
  /** A retired key verifies for this long: at least the longest life of a record. */
  readonly keepRetiredSeconds: number;
}

/**
 * The keyring as it should be at `now`: made if there is none, a new active key when the old one is due, retired keys dropped
 * when no record of theirs can be alive. Returns the same object when nothing changes.
 */
export function rotateKeyring(
  keyring: Keyring | undefined,
  rule: RotationRule,
  now: Date,
  makeKey: (now: Date) => SealKey,
): Keyring {
  if (keyring === undefined) return { keys: [makeKey(now)] };
  const seconds = Math.floor(now.getTime() / 1000);
  const due = seconds - activeKey(keyring).iat >= rule.rotateAfterSeconds;
  const alive = keyring.keys.filter(
    (key) => key.retired === undefined || seconds - key.retired < rule.keepRetiredSeconds,
  );
  if (!due && alive.length === keyring.keys.length) return keyring;
  if (!due) return { keys: alive };
  const retired = alive.map((key) => (key.retired === undefined ? { ...key, retired: seconds } : key));
  return { keys: [makeKey(now), ...retired] };
}

/**
 * Whether a key left the ring while records that it sealed may live, which is up to `longestLifeSeconds`: somebody wants it believed
 * no more. A key that leaves after its time takes nothing with it.
 */
export function dropsLiveKey(before: Keyring, after: Keyring, longestLifeSeconds: number, now: Date): boolean {
  const seconds = now.getTime() / 1000;
  const kept = new Set(after.keys.map(({ kid, x }) => `${kid} ${x}`));
  return before.keys.some(
    ({ kid, x, retired }) =>
      !kept.has(`${kid} ${x}`) && (retired === undefined || seconds - retired < longestLifeSeconds),
  );
}

/** The keyring without private parts: what auditors verify with. Members are named one by one, so that no other ever gets out. */
export function publicKeyring(keyring: Keyring): Keyring {
  const keys = keyring.keys.map(({ kty, crv, alg, use, kid, x, iat, retired }) => {
    return { kty, crv, alg, use, kid, x, iat, ...(retired !== undefined && { retired }) };
  });
  return { keys };
}
