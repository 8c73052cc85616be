import type { Clock } from "./clock.ts";

/** So many at once, then one per refill time. */
export class TokenBucket {
  readonly #burst: number;
  readonly #refillMs: number;
  readonly #clock: Pick<Clock, "monotonicMs">;
  #tokens: number;
  #atMs: number;

  constructor(burst: number, refillMs: number, clock: Pick<Clock, "monotonicMs">) {
    this.#burst = burst;
    this.#refillMs = refillMs;
    this.#clock = clock;
    this.#tokens = burst;
    this.#atMs = clock.monotonicMs();
  }

  /** Takes a token if there is one. */
  take(): boolean {
    const now = this.#clock.monotonicMs();
    this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#atMs) / this.#refillMs);
    this.#atMs = now;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
