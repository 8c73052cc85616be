import { LRUCache } from "lru-cache";

interface Flight<T> {
  readonly promise: Promise<T>;
  readonly controller: AbortController;
  waiters: number;
}

/** A value, and whether it was there already: what is remembered may be out of date. */
export interface Obtained<T> {
  readonly value: T;
  readonly remembered: boolean;
}

export interface SharedOptions<T> {
  /** How many values are remembered at most. */
  readonly max: number;
  /** For how many milliseconds a value is remembered; 0: not at all. Errors never are. */
  readonly keepMs: (value: T) => number;
}

function aborted(signal: AbortSignal): Promise<never> & { stop(): void } {
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  return Object.assign(promise, { stop: () => signal.removeEventListener("abort", onAbort) });
}

/**
 * Work that is done once for everyone who asks for the same key at the same time. A waiter that gives up leaves the others
 * undisturbed; when the last one has, the work is aborted.
 */
export class Shared<T extends object> {
  readonly #flights = new Map<string, Flight<T>>();
  readonly #remembered: LRUCache<string, T>;
  readonly #keepMs: (value: T) => number;

  constructor({ max, keepMs }: SharedOptions<T>) {
    this.#remembered = new LRUCache({ max });
    this.#keepMs = keepMs;
  }

  /** The value for `key`, from memory, from work under way, or from `start`. Rejects with the signal's reason once it aborts. */
  async get(key: string, signal: AbortSignal, start: (signal: AbortSignal) => Promise<T>): Promise<Obtained<T>> {
    signal.throwIfAborted();
    const known = this.#remembered.get(key);
    if (known !== undefined) return { value: known, remembered: true };
    const flight = this.#flights.get(key) ?? this.#launch(key, start);
    flight.waiters++;
    const gaveUp = aborted(signal);
    try {
      return { value: await Promise.race([flight.promise, gaveUp]), remembered: false };
    } finally {
      gaveUp.stop();
      if (--flight.waiters === 0) this.#land(key, flight);
    }
  }

  /** Drops what is remembered for `key`. */
  forget(key: string): void {
    this.#remembered.delete(key);
  }

  #launch(key: string, start: (signal: AbortSignal) => Promise<T>): Flight<T> {
    const controller = new AbortController();
    const promise = start(controller.signal).then((value) => {
      const keep = this.#keepMs(value);
      if (keep > 0) this.#remembered.set(key, value, { ttl: keep });
      return value;
    });
    promise.catch(() => undefined); // every waiter has its own await; with none left the failure is nobody's
    const flight = { promise, controller, waiters: 0 };
    this.#flights.set(key, flight);
    return flight;
  }

  #land(key: string, flight: Flight<T>): void {
    if (this.#flights.get(key) === flight) this.#flights.delete(key);
    flight.controller.abort(new Error("nobody waits for this any more"));
  }
}
