import type { Clock } from "../../adapters/clock.ts";
import { type BackoffPolicy, backoffMs } from "../../core/backoff.ts";
import { messageOf } from "../../core/errors.ts";

/** What was last tried for one source, and what it gave. */
export interface Reading {
  /** What was read, and stays when a later attempt fails. */
  readonly text?: string;
  /** Why the last attempt failed, in words for people. */
  readonly problem?: string;
  /** Milliseconds until the next attempt is due. */
  readonly dueInMs: number;
}

interface Remembered {
  readonly version: string;
  readonly text: string | undefined;
  readonly problem: string | undefined;
  readonly failures: number;
  readonly dueAtMs: number;
}

export interface ReadingsOptions {
  readonly clock: Clock;
  /** Between attempts after a success. */
  readonly resyncMs: number;
  /** After failures; never longer than `resyncMs`. */
  readonly backoff?: BackoffPolicy;
  /** Dice in [0, 1) for the jitter. */
  readonly random?: () => number;
}

/** For what others serve: from five seconds to ten minutes. */
const RETRY: BackoffPolicy = Object.freeze({ baseMs: 5_000, factor: 2, capMs: 600_000, jitter: 0.2 });

/**
 * When to read sources anew: at once when they change, after `resyncMs` when all is well, sooner after a failure. In between the last
 * result stands, so that a reconcile costs nothing. Not to be asked twice at once for one key.
 */
export class Readings {
  readonly #options: Required<ReadingsOptions>;
  readonly #known = new Map<string, Remembered>();

  constructor(options: ReadingsOptions) {
    this.#options = { backoff: RETRY, random: Math.random, ...options };
  }

  /** What `read` gives, now or when it was last due. `version` says which source it is: another one is read at once. Rejects only when `signal` aborts. */
  async get(key: string, version: string, read: () => Promise<string>, signal: AbortSignal): Promise<Reading> {
    const { clock } = this.#options;
    const before = this.#known.get(key);
    const known = before?.version === version ? before : undefined;
    const current =
      known !== undefined && known.dueAtMs > clock.monotonicMs()
        ? known
        : await this.#attempt(version, known, read, signal);
    this.#known.set(key, current);
    const { text, problem, dueAtMs } = current;
    return {
      ...(text !== undefined && { text }),
      ...(problem !== undefined && { problem }),
      dueInMs: Math.max(1, dueAtMs - clock.monotonicMs()),
    };
  }

  /** Forgets every key but these. */
  retain(keys: ReadonlySet<string>): void {
    for (const key of this.#known.keys()) if (!keys.has(key)) this.#known.delete(key);
  }

  async #attempt(
    version: string,
    known: Remembered | undefined,
    read: () => Promise<string>,
    signal: AbortSignal,
  ): Promise<Remembered> {
    const { clock, resyncMs, backoff, random } = this.#options;
    try {
      const text = await read();
      return { version, text, problem: undefined, failures: 0, dueAtMs: clock.monotonicMs() + resyncMs };
    } catch (thrown) {
      signal.throwIfAborted(); // nobody's fault: the process is ending
      const failures = (known?.failures ?? 0) + 1;
      const wait = Math.min(resyncMs, backoffMs(backoff, failures, random()));
      const dueAtMs = clock.monotonicMs() + wait;
      return { version, text: known?.text, problem: messageOf(thrown), failures, dueAtMs };
    }
  }
}
