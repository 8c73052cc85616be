import { DomainError } from "../core/errors.ts";

/** So many at once, and so many who wait; whoever comes then is sent away with `BUSY` instead of piling up. */
export class Slots {
  readonly #queueLimit: number;
  readonly #waiting: (() => void)[] = [];
  #free: number;

  constructor(slots: number, queueLimit: number) {
    this.#free = slots;
    this.#queueLimit = queueLimit;
  }

  /** Does `work` when there is a slot. Throws `DomainError` BUSY when the queue is full, and the signal's reason when it aborts before. */
  async run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    await this.#enter(signal);
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }

  async #enter(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (this.#free > 0) {
      this.#free--;
      return;
    }
    if (this.#waiting.length >= this.#queueLimit) throw new DomainError("BUSY", "too much is waiting already");
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const leave = (): void => {
      const at = this.#waiting.indexOf(resolve);
      if (at >= 0) this.#waiting.splice(at, 1);
      reject(signal?.reason); // without effect once there is a slot
    };
    this.#waiting.push(resolve);
    signal?.addEventListener("abort", leave, { once: true });
    await promise.finally(() => signal?.removeEventListener("abort", leave));
  }
}
