/** Something that many use and that may be replaced meanwhile: it ends when the last of them is done. */
export class Lease<T> {
  readonly #value: T;
  readonly #close: (value: T) => Promise<void>;
  #users = 0;
  #retired = false;

  constructor(value: T, close: (value: T) => Promise<void>) {
    this.#value = value;
    this.#close = close;
  }

  /** Does `work` with it. */
  async use<R>(work: (value: T) => Promise<R>): Promise<R> {
    this.#users++;
    try {
      return await work(this.#value);
    } finally {
      this.#users--;
      this.#endIfIdle();
    }
  }

  /** Nobody will use it any more: it ends once nobody does. */
  retire(): void {
    this.#retired = true;
    this.#endIfIdle();
  }

  /** Ends it at once, whoever uses it. */
  async close(): Promise<void> {
    await this.#close(this.#value);
  }

  #endIfIdle(): void {
    if (this.#retired && this.#users === 0) void this.#close(this.#value);
  }
}
