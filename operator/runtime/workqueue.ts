import { type Clock, systemClock } from "../../adapters/clock.ts";
import type { ObjectKey } from "../../adapters/kube/types.ts";
import { type BackoffPolicy, backoffMs, RECONCILE } from "../../core/backoff.ts";
import type { RuntimeMetrics } from "./metrics.ts";

export interface WorkQueueOptions {
  /** A fixed name, the metrics' label. */
  readonly name: string;
  readonly backoff?: BackoffPolicy;
  readonly metrics?: RuntimeMetrics;
  readonly clock?: Clock;
  /** Dice in [0, 1) for the jitter. */
  readonly random?: () => number;
}

interface Delayed {
  readonly dueMs: number;
  readonly cancel: () => void;
}

/**
 * A queue of keys with the promises of client-go's workqueue: a key waits at most once, is in one worker's hands at a time, and a key
 * added while in hand comes again after `done`. No key is lost between `add` and `shutDown`.
 */
export class WorkQueue {
  readonly name: string;
  readonly #clock: Clock;
  readonly #backoff: BackoffPolicy;
  readonly #random: () => number;
  readonly #metrics: RuntimeMetrics | undefined;
  readonly #waiting = new Map<ObjectKey, number>(); // in order of arrival; since when, by the monotonic clock
  readonly #inHand = new Set<ObjectKey>();
  readonly #again = new Set<ObjectKey>(); // added while in hand
  readonly #delayed = new Map<ObjectKey, Delayed>();
  readonly #failures = new Map<ObjectKey, number>();
  readonly #takers: ((key: ObjectKey | undefined) => void)[] = [];
  #closed = false;

  constructor(options: WorkQueueOptions) {
    this.name = options.name;
    this.#clock = options.clock ?? systemClock;
    this.#backoff = options.backoff ?? RECONCILE;
    this.#random = options.random ?? Math.random;
    this.#metrics = options.metrics;
  }

  /** Keys that wait to be taken now. */
  get depth(): number {
    return this.#waiting.size;
  }

  /** Makes the key due now. */
  add(key: ObjectKey): void {
    if (this.#closed) return;
    this.#undelay(key);
    if (this.#inHand.has(key)) {
      if (!this.#again.has(key)) this.#counted();
      this.#again.add(key);
      return;
    }
    if (this.#waiting.has(key)) return;
    this.#counted();
    this.#enqueue(key);
  }

  /** Makes the key due in `ms` milliseconds, unless it is due sooner anyway. */
  addAfter(key: ObjectKey, ms: number): void {
    if (this.#closed || this.#waiting.has(key)) return;
    if (ms <= 0) {
      this.add(key);
      return;
    }
    const dueMs = this.#clock.monotonicMs() + ms;
    const planned = this.#delayed.get(key);
    if (planned !== undefined && planned.dueMs <= dueMs) return;
    planned?.cancel();
    const cancel = this.#clock.after(ms, () => {
      this.#delayed.delete(key);
      this.add(key);
    });
    this.#delayed.set(key, { dueMs, cancel });
  }

  /** Counts a failure of the key and makes it due after its back-off; returns that delay in milliseconds. */
  retry(key: ObjectKey): number {
    const failures = (this.#failures.get(key) ?? 0) + 1;
    this.#failures.set(key, failures);
    const delay = backoffMs(this.#backoff, failures, this.#random());
    this.#metrics?.retries.inc({ controller: this.name });
    this.addAfter(key, delay);
    return delay;
  }

  /** How often the key has failed in a row. */
  failures(key: ObjectKey): number {
    return this.#failures.get(key) ?? 0;
  }

  /** Forgets the key's failures. */
  forget(key: ObjectKey): void {
    this.#failures.delete(key);
  }

  /** The next key due, as soon as there is one; undefined once the queue is shut down. Give it back with `done`. */
  async take(): Promise<ObjectKey | undefined> {
    if (this.#closed) return undefined;
    const next = this.#waiting.entries().next();
    if (next.done === true) return await new Promise((resolve) => this.#takers.push(resolve));
    const [key, since] = next.value;
    this.#waiting.delete(key);
    this.#hand(key, since);
    return key;
  }

  /** Gives a taken key back; if it was added meanwhile, it is due again. */
  done(key: ObjectKey): void {
    this.#inHand.delete(key);
    if (this.#again.delete(key) && !this.#closed) this.#enqueue(key);
  }

  /** Hands out nothing more and drops what waits: the next leader lists everything anew. */
  shutDown(): void {
    this.#closed = true;
    for (const { cancel } of this.#delayed.values()) cancel();
    this.#delayed.clear();
    this.#waiting.clear();
    this.#again.clear();
    this.#gauge();
    for (const resolve of this.#takers.splice(0)) resolve(undefined);
  }

  #enqueue(key: ObjectKey): void {
    const now = this.#clock.monotonicMs();
    const taker = this.#takers.shift();
    if (taker === undefined) {
      this.#waiting.set(key, now);
      this.#gauge();
    } else {
      this.#hand(key, now);
      taker(key);
    }
  }

  #hand(key: ObjectKey, since: number): void {
    this.#inHand.add(key);
    this.#gauge();
    this.#metrics?.queued.observe({ controller: this.name }, (this.#clock.monotonicMs() - since) / 1000);
  }

  #undelay(key: ObjectKey): void {
    this.#delayed.get(key)?.cancel();
    this.#delayed.delete(key);
  }

  #counted(): void {
    this.#metrics?.adds.inc({ controller: this.name });
  }

  #gauge(): void {
    this.#metrics?.depth.set({ controller: this.name }, this.#waiting.size);
  }
}
