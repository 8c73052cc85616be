import type { TransparencyLogEntry } from "@sigstore/protobuf-specs";
import type { SignedAuthority, TrustedRootJson } from "../../core/policy/types.ts";
import type { Material } from "./candidate.ts";
import type { SignedContent } from "./content.ts";
import type { VerificationKey } from "./keys.ts";
import { type LoggedEntry, verifyEntry } from "./log.ts";
import type { Signer } from "./log-body.ts";
import { allAccepted, Refusal } from "./refusal.ts";
import type { LogLookup } from "./rekor.ts";
import { verifyTimestamp } from "./timestamp.ts";
import { type CertificateAuthority, isWithin, type Log, type TrustMaterial } from "./trustmaterial.ts";

/** A signature that has verified, and by whom. */
export interface Signed {
  readonly content: SignedContent;
  readonly material: Material;
  readonly signer: Signer;
  readonly key: VerificationKey;
}

export interface ObservationOptions {
  readonly now: Date;
  readonly trust: (root: TrustedRootJson) => TrustMaterial;
  /** Absent: what a signature does not bring is not looked up. */
  readonly rekor?: LogLookup;
  readonly signal: AbortSignal;
}

const MOST = 4; // entries, or timestamps, of one signature that are looked at
const NOT_FOUND = "signature not found in transparency log";
const NO_TIMESTAMP =
  "no signed timestamp: an RFC 3161 timestamp by a timestamp authority of the trust root must come with the signature";

/** What was accepted; nothing, where nothing was. */
function orNone<R>(found: R[] | Refusal): R[] {
  return found instanceof Refusal ? [] : found;
}

function orThrow<R>(found: R[] | Refusal): R[] {
  if (found instanceof Refusal) throw found;
  return found;
}

function stamps({ content, material }: Signed, authorities: readonly CertificateAuthority[]): Date[] | Refusal {
  const brought = material.timestamps.slice(0, MOST);
  return allAccepted(brought, (der) => verifyTimestamp(der, content, authorities), NO_TIMESTAMP);
}

/** An entry with no time of its own must at least be by a log that was in use when others saw the signature. */
function entryOf(
  entry: TransparencyLogEntry,
  logs: readonly Log[],
  signed: Signed,
  times: readonly Date[],
  now: Date,
): LoggedEntry {
  const logged = verifyEntry(entry, logs, signed.content, signed.signer);
  const { start } = logged.window;
  const inUse =
    times.length > 0 ? times.every((time) => isWithin(logged.window, time)) : start === undefined || start <= now;
  if (logged.time === undefined && !inUse) throw new Refusal("the log entry was made when its log's key was not valid");
  return logged;
}

async function requiredEntries(
  signed: Signed,
  log: { readonly trustedRoot: TrustedRootJson; readonly url?: string },
  times: readonly Date[],
  { trust, rekor, signal, now }: ObservationOptions,
): Promise<LoggedEntry[]> {
  const { logs } = trust(log.trustedRoot);
  const brought = signed.material.logEntries;
  const ask = brought.length === 0 && log.url !== undefined && rekor !== undefined;
  const entries = (ask ? await rekor(log.url, signed, signal) : brought).slice(0, MOST);
  if (entries.length === 0) throw new Refusal(NOT_FOUND);
  const found = allAccepted(entries, (entry) => entryOf(entry, logs, signed, times, now), NOT_FOUND);
  if (found instanceof Refusal) throw new Refusal(`${NOT_FOUND}: ${found.message}`, { cause: found });
  return found;
}

function timesOf(entries: readonly LoggedEntry[]): Date[] {
  return entries.flatMap(({ time }) => (time === undefined ? [] : [time]));
}

/** What the authority does not ask for may still tell the time, if it verifies against a root that the authority trusts anyway. */
function rootsOf({ log, ...authority }: SignedAuthority, trust: ObservationOptions["trust"]): TrustMaterial[] {
  const issuers = authority.kind === "keyless" && authority.issuers.kind === "trusted-root" ? [authority.issuers] : [];
  return [...issuers, ...(log.kind === "required" ? [log] : [])].map(({ trustedRoot }) => trust(trustedRoot));
}

/**
 * When trusted third parties saw the signature: the times that a log or a timestamp authority signed. Empty where nobody signed any and
 * the authority asks for none. Throws `Refusal` where what it asks for (`log`, `timestamps`) is not there; rejects with the reason of
 * the lookup where the log could not be asked.
 */
export async function observedTimes(
  signed: Signed,
  authority: SignedAuthority,
  options: ObservationOptions,
): Promise<readonly Date[]> {
  const { log, timestamps } = authority;
  const roots = rootsOf(authority, options.trust);
  const stamped = stamps(
    signed,
    timestamps === undefined
      ? roots.flatMap(({ timestampAuthorities }) => timestampAuthorities)
      : options.trust(timestamps.trustedRoot).timestampAuthorities,
  );
  const times = timestamps === undefined ? orNone(stamped) : orThrow(stamped);
  if (log.kind === "required") {
    const entries = await requiredEntries(signed, log, times, options);
    const observed = [...times, ...timesOf(entries)];
    return observed.length === 0 && authority.kind === "keyless" ? orThrow(stamped) : observed;
  }
  if (timestamps !== undefined) return times;
  const logs = roots.flatMap((root) => root.logs);
  const entries = signed.material.logEntries.slice(0, MOST);
  const verify = (entry: TransparencyLogEntry): LoggedEntry => entryOf(entry, logs, signed, times, options.now);
  return [...times, ...timesOf(orNone(allAccepted(entries, verify, NOT_FOUND)))];
}
