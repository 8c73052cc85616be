import type { Clock } from "../../adapters/clock.ts";
import { type BackoffPolicy, backoffMs } from "../../core/backoff.ts";

/** After a failed fetch: about a second first, at most five minutes apart. */
const RETRY: BackoffPolicy = Object.freeze({ baseMs: 1_000, factor: 2, capMs: 300_000, jitter: 0.2 });

interface Turn {
  readonly nextMs: number; // by the monotonic clock
  readonly failures: number;
}

export interface ScheduleOptions {
  readonly clock: Clock;
  /** Between two fetches of what may change without notice. */
  readonly resyncMs: number;
  /** Dice in [0, 1) for the jitter. */
  readonly random?: () => number;
}

/** When each of the things that one policy needs is due to be fetched. What was never fetched by this process is due at once. */
export class Schedule {
  readonly #options: ScheduleOptions;
  readonly #turns = new Map<string, Turn>();

  constructor(options: ScheduleOptions) {
    this.#options = options;
  }

  /** Makes everything due. */
  reset(): void {
    this.#turns.clear();
  }

  isDue(name: string): boolean {
    return (this.#turns.get(name)?.nextMs ?? 0) <= this.#options.clock.monotonicMs();
  }

  /** Notes how a fetch went. `again: "never"` is for what can't change; `"resync"` for a failure that only a change of the policy ends. */
  note(name: string, outcome: { readonly ok: boolean; readonly again: "never" | "resync" | "soon" }): void {
    const { clock, resyncMs, random = Math.random } = this.#options;
    const failures = outcome.ok ? 0 : (this.#turns.get(name)?.failures ?? 0) + 1;
    const delays = {
      never: Number.POSITIVE_INFINITY,
      resync: resyncMs,
      soon: Math.min(resyncMs, backoffMs(RETRY, Math.max(1, failures), random())),
    };
    this.#turns.set(name, { failures, nextMs: clock.monotonicMs() + delays[outcome.again] });
  }

  /** Milliseconds until something of `names` is due, 0 if something is; undefined if nothing ever is. */
  nextInMs(names: readonly string[]): number | undefined {
    const now = this.#options.clock.monotonicMs();
    const next = Math.min(...names.map((name) => this.#turns.get(name)?.nextMs ?? 0));
    return Number.isFinite(next) ? Math.max(0, next - now) : undefined;
  }
}
