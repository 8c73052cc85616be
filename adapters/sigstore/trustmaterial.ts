import { createHash, createPublicKey, type KeyObject } from "node:crypto";
import {
  type CertificateAuthority as AuthorityMessage,
  type TimeRange,
  type TransparencyLogInstance,
  TrustedRoot,
} from "@sigstore/protobuf-specs";
import { LRUCache } from "lru-cache";
import { DomainError, messageOf } from "../../core/errors.ts";
import { fieldsOf, parseJson } from "../../core/json.ts";
import type { TrustedRootJson } from "../../core/policy/types.ts";
import { type Certificate, readCertificate } from "./certificate.ts";

/** A closed interval; an absent bound is none. */
export interface Window {
  readonly start?: Date;
  readonly end?: Date;
}

/** A certificate authority, or a timestamp authority. */
export interface CertificateAuthority {
  /** What paths end in. */
  readonly anchors: readonly Certificate[];
  readonly intermediates: readonly Certificate[];
  readonly window: Window;
}

/** A transparency log, for signatures (Rekor) or for certificates. */
export interface Log {
  readonly baseUrl: string;
  readonly key: KeyObject;
  /** RFC 6962 section 3.2: SHA-256 of the key's SubjectPublicKeyInfo. */
  readonly id: Buffer;
  /** Every ID that entries of this log may name it by. */
  readonly ids: readonly Buffer[];
  readonly window: Window;
}

/** A Sigstore trusted root, read. */
export interface TrustMaterial {
  readonly authorities: readonly CertificateAuthority[];
  readonly timestampAuthorities: readonly CertificateAuthority[];
  readonly logs: readonly Log[];
  readonly certificateLogs: readonly Log[];
}

const LARGEST_ROOT = 4 * 1024 * 1024;
const MOST_ENTRIES = 64;
const LONGEST_CHAIN = 16;
const HEX_ID = /^[0-9a-f]{64}$/;

/** Whether `time` lies in a window; its bounds belong to it. */
export function isWithin({ start, end }: Window, time: Date): boolean {
  return (start === undefined || start <= time) && (end === undefined || time <= end);
}

/** undefined: a range without a start, which the protobuf requires; nothing was ever valid in it. */
function windowOf(range: TimeRange | undefined): Window | undefined {
  if (range === undefined) return {};
  if (range.start === undefined) return undefined;
  return { start: range.start, ...(range.end !== undefined && { end: range.end }) };
}

function authorityOf(message: AuthorityMessage): CertificateAuthority[] {
  const window = windowOf(message.validFor);
  const chain = (message.certChain?.certificates ?? []).map(({ rawBytes }) => readCertificate(rawBytes));
  if (chain.length > LONGEST_CHAIN) throw new Error(`a chain has more than ${LONGEST_CHAIN} certificates`);
  const anchor = chain.at(-1); // ordered from the leaf to the root, as the protobuf says
  if (window === undefined || anchor === undefined) return [];
  return [{ anchors: [anchor], intermediates: chain.slice(0, -1), window }];
}

function keyOf(der: Buffer): KeyObject {
  try {
    return createPublicKey({ key: der, format: "der", type: "spki" });
  } catch {
    return createPublicKey({ key: der, format: "der", type: "pkcs1" });
  }
}

/** The ID as written, and what it says where someone wrote the bytes of its hexadecimal form (policy-controller does). */
function declaredIds(id: Buffer | undefined): Buffer[] {
  if (id === undefined || id.length === 0) return [];
  const text = id.toString("latin1");
  return HEX_ID.test(text) ? [id, Buffer.from(text, "hex")] : [id];
}

function logOf({ baseUrl, publicKey, logId, checkpointKeyId }: TransparencyLogInstance): Log[] {
  const window = windowOf(publicKey?.validFor);
  if (window === undefined || publicKey?.rawBytes === undefined) return [];
  const key = keyOf(publicKey.rawBytes);
  const id = createHash("sha256")
    .update(key.export({ type: "spki", format: "der" }))
    .digest();
  return [
    { baseUrl, key, id, ids: [id, ...declaredIds(logId?.keyId), ...declaredIds(checkpointKeyId?.keyId)], window },
  ];
}

function bounded<T>(entries: readonly T[], what: string): readonly T[] {
  if (entries.length > MOST_ENTRIES) throw new Error(`it has more than ${MOST_ENTRIES} ${what}`);
  return entries;
}

/**
 * Reads a Sigstore `TrustedRoot` in protobuf JSON (at most 4 MiB, 64 entries of a kind). Entries whose validity has no start, which
 * the format requires, are left out. Throws `TRUSTED_ROOT_MALFORMED`.
 */
export function parseTrustedRoot(json: TrustedRootJson): TrustMaterial {
  try {
    if (json.length > LARGEST_ROOT) throw new Error(`it is longer than ${LARGEST_ROOT} bytes`);
    const fields = fieldsOf(parseJson(json));
    if (fields === undefined) throw new Error("it is no JSON object");
    const root = TrustedRoot.fromJSON(fields);
    return {
      authorities: bounded(root.certificateAuthorities, "certificate authorities").flatMap(authorityOf),
      timestampAuthorities: bounded(root.timestampAuthorities, "timestamp authorities").flatMap(authorityOf),
      logs: bounded(root.tlogs, "transparency logs").flatMap(logOf),
      certificateLogs: bounded(root.ctlogs, "certificate transparency logs").flatMap(logOf),
    };
  } catch (thrown) {
    throw new DomainError("TRUSTED_ROOT_MALFORMED", `the trusted root cannot be used: ${messageOf(thrown)}`, {
      cause: thrown,
      terminal: true,
    });
  }
}

/** `parseTrustedRoot`, which remembers the last few texts: a policy's root is read for every signature. */
export function trustedRootReader(): (json: TrustedRootJson) => TrustMaterial {
  const known = new LRUCache<string, TrustMaterial>({ max: 32 });
  return (json) => {
    const found = known.get(json);
    if (found !== undefined) return found;
    const material = parseTrustedRoot(json);
    known.set(json, material);
    return material;
  };
}
