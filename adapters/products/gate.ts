import type { Clock } from "../clock.ts";
import { startDeadline } from "../deadline.ts";
import { ProductError } from "./errors.ts";

export interface CallGateOptions {
  /** Calls at once before they are spread out. */
  readonly burst?: number;
  /** Calls each second after that. */
  readonly perSecond?: number;
  /** Milliseconds for one call. */
  readonly deadlineMs?: number;
  readonly clock: Pick<Clock, "monotonicMs" | "sleep">;
}

/**
 * The one way to a registry's management API: spreads calls, gives each a deadline, and when the product says that there were too
 * many, lets nobody through until it wants to be asked again. One for each registry, shared by all of its rules.
 */
export class CallGate {
  readonly #options: CallGateOptions;
  readonly #spacingMs: number;
  readonly #burst: number;
  /** By the monotonic clock: when the next call's turn is, if calls had been evenly spread. */
  #nextTurn = Number.NEGATIVE_INFINITY;
  #closedUntil = Number.NEGATIVE_INFINITY;

  constructor(options: CallGateOptions) {
    this.#options = options;
    this.#spacingMs = 1_000 / (options.perSecond ?? 10);
    this.#burst = options.burst ?? 20;
  }

  /**
   * Makes a call when its turn has come. It must throw `ProductError`s only. Throws `PRODUCT_THROTTLED` at once, with the time that is
   * left, while the product does not want to be asked.
   */
  async run<T>(call: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
    this.#refuseWhileClosed();
    const { clock, deadlineMs = 30_000 } = this.#options;
    const waitMs = this.#takeTurn();
    if (waitMs > 0) await clock.sleep(waitMs, signal);
    this.#refuseWhileClosed();
    using deadline = startDeadline(deadlineMs, signal);
    try {
      return await call(deadline.signal);
    } catch (thrown) {
      if (signal.aborted) throw signal.reason;
      if (deadline.signal.aborted)
        throw new ProductError("PRODUCT_TIMEOUT", `the registry's API did not answer within ${deadlineMs / 1000} s`);
      if (thrown instanceof ProductError && thrown.code === "PRODUCT_THROTTLED") {
        const ms = Math.max(thrown.retryAfterMs ?? 10_000, 1_000);
        this.#closedUntil = Math.max(this.#closedUntil, clock.monotonicMs() + ms);
      }
      throw thrown;
    }
  }

  #takeTurn(): number {
    const now = this.#options.clock.monotonicMs();
    const earliest = now - this.#burst * this.#spacingMs;
    this.#nextTurn = Math.max(this.#nextTurn, earliest) + this.#spacingMs;
    return this.#nextTurn - now;
  }

  #refuseWhileClosed(): void {
    const left = this.#closedUntil - this.#options.clock.monotonicMs();
    if (left <= 0) return;
    throw new ProductError(
      "PRODUCT_THROTTLED",
      "the registry's API asked to be left alone for a while (too many requests)",
      {
        retryAfterMs: Math.ceil(left),
      },
    );
  }
}
