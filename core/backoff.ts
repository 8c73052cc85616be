/** How long to wait between attempts: `baseMs · factor^failures`, at most `capMs`, shortened by up to the share `jitter` (0 to 1). */
export interface BackoffPolicy {
  readonly baseMs: number;
  readonly factor: number;
  readonly capMs: number;
  readonly jitter: number;
}

/** For connections to servers that may restart together: quick at first, spread widely. */
export const RECONNECT: BackoffPolicy = Object.freeze({ baseMs: 200, factor: 2, capMs: 30_000, jitter: 0.5 });

/** For reconciles: first retry after about 0.1 s, at most five minutes apart. */
export const RECONCILE: BackoffPolicy = Object.freeze({ baseMs: 100, factor: 2, capMs: 300_000, jitter: 0.2 });

/**
 * Milliseconds to wait after `failures` (≥ 1) failures in a row. `random` is a number in [0, 1): the caller's dice, so that
 * this stays a function. The result is in [(1 − jitter)·d, d] with d = min(capMs, baseMs · factor^(failures − 1)).
 */
export function backoffMs(policy: BackoffPolicy, failures: number, random: number): number {
  const exponent = Math.max(0, failures - 1);
  const full = Math.min(policy.capMs, policy.baseMs * policy.factor ** exponent);
  return full * (1 - policy.jitter * random);
}
