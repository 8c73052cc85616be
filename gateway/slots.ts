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

  /** Does `work` when there is a slot. Throws `DomainError` BUSY when the queue is full. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    await this.#enter();
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }

  async #enter(): Promise<void> {
    if (this.#free > 0) {
      this.#free--;
      return;
    }
    if (this.#waiting.length >= this.#queueLimit) throw new DomainError("BUSY", "too much is waiting already");
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}
