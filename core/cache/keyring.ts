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
  /** Seconds since the epoch: when it was made or, of one that was the next before, began to sign; and when it stopped signing. */
  readonly iat: number;
  readonly retired?: number;
  /**
   * It has signed nothing yet: it is there so that everybody knows it before it takes over. Such a key has `retired` too, the time that it
   * was made: a version that does not know this member takes it for one that only verifies, which it is.
   */
  readonly next?: true;
}

/** A JWK set: exactly one key without `retired` signs, the others only verify, and at most one of these is the `next` to sign. */
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
    (key["retired"] === undefined || typeof key["retired"] === "number") &&
    (key["next"] === undefined || (key["next"] === true && key["retired"] !== undefined))
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
  if (keys.filter((key) => key.next === true).length > 1) throw invalid("only one key can be the next");
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

/** How long a key is known before it may sign: far longer than a replica that enforces anything is behind, clocks' skew included. */
export const NEXT_KEY_LEAD_SECONDS = 600;

/** No more keys than this come to be in a ring: it is read only up to a size. A full one waits for its oldest key to go. */
export const KEYRING_LIMIT = 128;

/** When a key stopped signing, in seconds since the epoch; undefined for one that signs or is the next to. */
export function retiredAt({ retired, next }: SealKey): number | undefined {
  return next === true ? undefined : retired;
}

function nextKey(keyring: Keyring): SealKey | undefined {
  return keyring.keys.find(({ next }) => next === true);
}

function outlived(key: SealKey, rule: RotationRule): number {
  return (retiredAt(key) ?? Number.POSITIVE_INFINITY) + rule.keepRetiredSeconds;
}

function withNext(keys: readonly SealKey[], now: Date, makeKey: (now: Date) => SealKey): Keyring {
  const made = makeKey(now);
  const [active, ...others] = keys;
  return { keys: [...(active === undefined ? [] : [active]), { ...made, retired: made.iat, next: true }, ...others] };
}

/**
 * The keyring as it should be at `now`: made if there is none; when the active key is due, the next one takes over and another is put
 * behind it; retired keys dropped when no record of theirs can be alive. A key never signs before it was known for
 * `NEXT_KEY_LEAD_SECONDS`, so that whoever is late still opens what others seal; only the first key of all is in use at once.
 * Returns the same object when nothing changes.
 */
export function rotateKeyring(
  keyring: Keyring | undefined,
  rule: RotationRule,
  now: Date,
  makeKey: (now: Date) => SealKey,
): Keyring {
  if (keyring === undefined) return withNext([makeKey(now)], now, makeKey);
  const seconds = Math.floor(now.getTime() / 1000);
  const alive = keyring.keys.filter((key) => seconds < outlived(key, rule));
  const next = nextKey(keyring);
  const hasRoom = alive.length < KEYRING_LIMIT;
  if (next === undefined && hasRoom) {
    const active = activeKey(keyring);
    return withNext([active, ...alive.filter((key) => key !== active)], now, makeKey);
  }
  const isDue = seconds - activeKey(keyring).iat >= rule.rotateAfterSeconds;
  if (next !== undefined && hasRoom && isDue && seconds - next.iat >= NEXT_KEY_LEAD_SECONDS)
    return promoted(alive, next, now, makeKey);
  return alive.length === keyring.keys.length ? keyring : { keys: alive };
}

function promoted(alive: readonly SealKey[], next: SealKey, now: Date, makeKey: (now: Date) => SealKey): Keyring {
  const seconds = Math.floor(now.getTime() / 1000);
  const { next: _next, retired: _retired, ...active } = next;
  const others = alive.filter((key) => key !== next);
  const retired = others.map((key) => (key.retired === undefined ? { ...key, retired: seconds } : key));
  return withNext([{ ...active, iat: seconds }, ...retired], now, makeKey);
}

/** When `rotateKeyring` next has something to do, in seconds since the epoch. */
export function nextChange(keyring: Keyring, rule: RotationRule): number {
  const dropped = Math.min(...keyring.keys.map((key) => outlived(key, rule)));
  if (keyring.keys.length >= KEYRING_LIMIT) return dropped;
  const next = nextKey(keyring);
  const known = next === undefined ? 0 : next.iat + NEXT_KEY_LEAD_SECONDS;
  return Math.min(dropped, Math.max(known, activeKey(keyring).iat + rule.rotateAfterSeconds));
}

/**
 * Whether a key left the ring while records that it sealed may live, which is up to `longestLifeSeconds`: somebody wants it believed
 * no more. A key that leaves after its time takes nothing with it.
 */
export function dropsLiveKey(before: Keyring, after: Keyring, longestLifeSeconds: number, now: Date): boolean {
  const seconds = now.getTime() / 1000;
  const kept = new Set(after.keys.map(({ kid, x }) => `${kid} ${x}`));
  return before.keys.some((key) => {
    const retired = retiredAt(key); // a next key may have signed since, unseen
    return !kept.has(`${key.kid} ${key.x}`) && (retired === undefined || seconds - retired < longestLifeSeconds);
  });
}

/** The keyring without private parts: what auditors verify with. Members are named one by one, so that no other ever gets out. */
export function publicKeyring(keyring: Keyring): Keyring {
  const keys = keyring.keys.map(({ kty, crv, alg, use, kid, x, iat, retired, next }) => {
    const state = { ...(retired !== undefined && { retired }), ...(next === true && { next }) };
    return { kty, crv, alg, use, kid, x, iat, ...state };
  });
  return { keys };
}
