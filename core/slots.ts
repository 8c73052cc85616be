import { DomainError } from "./errors.ts";

interface Waiter {
  readonly size: number;
  readonly enter: () => void;
}

/**
 * So many at once, and so many who wait; whoever comes then is sent away with `BUSY` instead of piling up. Work may take more than one
 * slot; it is let in in the order in which it came.
 */
export class Slots {
  readonly #slots: number;
  readonly #queueLimit: number;
  readonly #waiting: Waiter[] = [];
  #free: number;

  constructor(slots: number, queueLimit: number) {
    this.#slots = slots;
    this.#free = slots;
    this.#queueLimit = queueLimit;
  }

  /**
   * Does `work` when there are `size` slots (all there are, if it wants more). Throws `DomainError` BUSY when the queue is full, and the
   * signal's reason when it aborts before.
   */
  async run<T>(work: () => Promise<T>, signal?: AbortSignal, size: number = 1): Promise<T> {
    const taken = Math.min(size, this.#slots);
    await this.#enter(taken, signal);
    try {
      return await work();
    } finally {
      this.#free += taken;
      this.#admit();
    }
  }

  async #enter(size: number, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (this.#waiting.length === 0 && size <= this.#free) {
      this.#free -= size;
      return;
    }
    if (this.#waiting.length >= this.#queueLimit) throw new DomainError("BUSY", "too much is waiting already");
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter = { size, enter: resolve };
    const leave = (): void => {
      const at = this.#waiting.indexOf(waiter);
      if (at >= 0) this.#waiting.splice(at, 1);
      reject(signal?.reason); // without effect once there is a slot
      this.#admit(); // it may have been the one that the others waited behind
    };
    this.#waiting.push(waiter);
    signal?.addEventListener("abort", leave, { once: true });
    await promise.finally(() => signal?.removeEventListener("abort", leave));
  }

  #admit(): void {
    for (let next = this.#waiting[0]; next !== undefined && next.size <= this.#free; next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#free -= next.size;
      next.enter();
    }
  }
}
