import { setTimeout as timeout } from "node:timers/promises";

/** What a timer of Node can wait, 24.8 days: told to wait longer, it fires at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Time for the loops: tests pass their own. */
export interface Clock {
  /** The time of day, for stamps that others read. */
  now(): Date;
  /** Milliseconds of a clock that never goes back, for durations. */
  monotonicMs(): number;
  /** Resolves after `ms`, or at once (never rejects) when `signal` aborts. Keeps the process alive. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `callback` once after `ms`; returns what cancels it. Does not keep the process alive. */
  after(ms: number, callback: () => void): () => void;
}

/** The computer's clock. */
export const systemClock: Clock = Object.freeze({
  now: () => new Date(),
  monotonicMs: () => performance.now(),
  sleep: async (ms: number, signal?: AbortSignal) => {
    let leftMs = ms;
    do {
      await nap(Math.min(leftMs, LONGEST_TIMER_MS), signal);
      leftMs -= LONGEST_TIMER_MS;
    } while (leftMs > 0 && signal?.aborted !== true);
  },
  after: (ms: number, callback: () => void) => {
    let timer: NodeJS.Timeout;
    const wait = (leftMs: number): void => {
      const next = leftMs > LONGEST_TIMER_MS ? () => wait(leftMs - LONGEST_TIMER_MS) : callback;
      timer = setTimeout(next, Math.min(leftMs, LONGEST_TIMER_MS)).unref();
    };
    wait(ms);
    return () => clearTimeout(timer);
  },
});

async function nap(ms: number, signal: AbortSignal | undefined): Promise<void> {
  await timeout(ms, undefined, signal === undefined ? {} : { signal }).catch((thrown: unknown) => {
    if (signal?.aborted !== true) throw thrown;
  });
}
