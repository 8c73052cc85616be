import { createHash } from "node:crypto";
import { type BackoffPolicy, backoffMs } from "../backoff.ts";

const JITTER = 0.1;

/** After failures: a minute at first, an hour at most. */
const RETRY: BackoffPolicy = Object.freeze({ baseMs: 60_000, factor: 2, capMs: 3_600_000, jitter: 0.2 });

/** A number in [0, 1) of a rule's own, always the same: what spreads the looks of many rules without dice. */
export function shareOf(uid: string): number {
  return createHash("sha256").update(uid).digest().readUInt32BE(0) / 2 ** 32;
}

/** Milliseconds from one look to the next: the interval, a tenth more or less. */
export function untilNextLookMs(uid: string, intervalMs: number): number {
  return Math.round(intervalMs * (1 + JITTER * (2 * shareOf(uid) - 1)));
}

/**
 * Milliseconds until the first look of this process at a rule: now when nothing was ever cached for it, else somewhere in the interval, so
 * that a restarted operator does not ask every upstream at once.
 */
export function untilFirstLookMs(uid: string, intervalMs: number, lookedBefore: boolean): number {
  return lookedBefore ? Math.round(intervalMs * shareOf(uid)) : 0;
}

/** The longest that a foreign registry may put an attempt off: some count their limits by the day. */
const LONGEST_ASKED_MS = 24 * 3_600_000;

/**
 * Milliseconds until the next attempt after `failures` (≥ 1) in a row; never before `retryAfterMs`, which a registry may have asked for,
 * but after a day at most.
 */
export function untilRetryMs(uid: string, intervalMs: number, failures: number, retryAfterMs = 0): number {
  return Math.max(
    Math.min(intervalMs, backoffMs(RETRY, failures, shareOf(uid))),
    Math.min(retryAfterMs, LONGEST_ASKED_MS),
  );
}
