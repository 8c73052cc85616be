import { LRUCache } from "lru-cache";
import { parseReferrers, type Referrer } from "../core/gateway/referrers.ts";

/** A list, and the document that it is. */
export interface List {
  readonly referrers: readonly Referrer[];
  readonly text: string;
  /** Whether it was read with credentials. */
  readonly marked: boolean;
}

/** A list as it was read. */
export interface Remembered extends List {
  readonly at: Date;
}

interface Kept {
  readonly index: Buffer;
  readonly marked: boolean;
  readonly at: Date;
}

/** How much is remembered at most; what nobody asked for the longest goes first. */
export interface MemoryLimits {
  readonly lists: number;
  readonly bytes: number;
  readonly keepMs: number;
}

export const MEMORY_LIMITS: MemoryLimits = {
  lists: 4096,
  bytes: 32 * 1024 * 1024,
  keepMs: 168 * 3_600_000, // as long as a proxy keeps manifests by default
};

const OVERHEAD = 512; // of an entry, beside its text

/** What upstreams said last, for when they say nothing. Empty lists are not kept: what they say is true for a moment only. */
export class ReferrersMemory {
  readonly #kept: LRUCache<string, Kept>;

  constructor({ lists, bytes, keepMs }: MemoryLimits = MEMORY_LIMITS) {
    this.#kept = new LRUCache({
      max: lists,
      maxSize: bytes,
      ttl: keepMs,
      sizeCalculation: ({ index }, key) => index.length + key.length + OVERHEAD,
    });
  }

  get(key: string): Remembered | undefined {
    const kept = this.#kept.get(key);
    const text = kept?.index.toString("utf8") ?? "";
    const referrers = kept === undefined ? undefined : parseReferrers(text);
    return kept === undefined || referrers === undefined
      ? undefined
      : { referrers, text, marked: kept.marked, at: kept.at };
  }

  /** Whether there is a list for `key`. */
  has(key: string): boolean {
    return this.#kept.has(key);
  }

  set(key: string, { referrers, text, marked, at }: Remembered): void {
    if (referrers.length === 0) this.#kept.delete(key);
    else this.#kept.set(key, { index: Buffer.from(text), marked, at });
  }
}
