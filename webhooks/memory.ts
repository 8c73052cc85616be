import { LRUCache } from "lru-cache";
import { type Clock, systemClock } from "../adapters/clock.ts";
import type { OwnerRef } from "../core/admission/request.ts";
import type { VerificationRecord } from "../core/cache/record.ts";
import type { Opened, Sealer } from "../core/cache/seal.ts";
import type { Digest } from "../core/image/reference.ts";
import type { AuthorityOutcome } from "../core/policy/types.ts";

const MEBIBYTE = 1024 * 1024;
const NEGATIVE_TTL_MS = 5_000;
const OWNER_TTL_MS = 30_000;
const ENTRY_OVERHEAD = 256;

/** What an owner's metadata said: its annotation and its own controller owner. */
export interface OwnerFacts {
  readonly annotation?: string;
  readonly next?: OwnerRef;
}

/**
 * What one replica remembers: bounded in bytes, all of it rebuilt from annotations and registries when lost. Nothing in here is
 * more trusted than its source: records keep their own expiry, denials live seconds.
 */
export class Memory {
  readonly records: LRUCache<string, VerificationRecord>;
  /** Digests of tags by the credentials that were asked with, and when they were resolved (milliseconds since the epoch). */
  readonly pins = new LRUCache<string, { readonly digest: Digest; readonly resolvedAt: number }>({
    maxSize: 8 * MEBIBYTE,
    sizeCalculation: ({ digest }, key) => key.length + digest.length + ENTRY_OVERHEAD,
  });
  readonly denials: LRUCache<string, Extract<AuthorityOutcome, { readonly kind: "failed" }>>;
  /** Annotations that opened, and by which keyring: a request under way when a key is dropped must not bring it back. */
  readonly opened = new LRUCache<string, { readonly by: Sealer; readonly opened: Opened }>({
    maxSize: 32 * MEBIBYTE,
    sizeCalculation: (_opened, annotation) => annotation.length * 4 + ENTRY_OVERHEAD,
  });
  /** Annotations by what they say (`contentsKey`), sealed here or opened here, and by which keyring: sealing again would give the same. What was cut stands under a hash, with its room. */
  readonly sealed = new LRUCache<string, { readonly by: Sealer; readonly annotation: string }>({
    maxSize: 16 * MEBIBYTE,
    sizeCalculation: ({ annotation }, key) => annotation.length + key.length + ENTRY_OVERHEAD,
  });
  readonly owners: LRUCache<string, OwnerFacts>;

  /** Entries age by `clock`. */
  constructor(clock: Pick<Clock, "monotonicMs"> = systemClock) {
    const aging = { perf: { now: () => clock.monotonicMs() }, ttlResolution: 0 };
    this.records = new LRUCache({
      ...aging,
      maxSize: 32 * MEBIBYTE,
      sizeCalculation: (record, key) => key.length + JSON.stringify(record).length + ENTRY_OVERHEAD,
    });
    this.denials = new LRUCache({
      ...aging,
      maxSize: 4 * MEBIBYTE,
      ttl: NEGATIVE_TTL_MS,
      sizeCalculation: ({ message }, key) => key.length + message.length + ENTRY_OVERHEAD,
    });
    this.owners = new LRUCache({
      ...aging,
      maxSize: 16 * MEBIBYTE,
      ttl: OWNER_TTL_MS,
      sizeCalculation: (facts, key) => key.length + JSON.stringify(facts).length + ENTRY_OVERHEAD,
    });
  }

  /**
   * Drops what the keyring decided: after a rotation annotations are opened and sealed anew. Records stay, so that a rotation costs no
   * registry anything, unless a key was `dropped`: they may have come by its seal.
   */
  forgetSeals(dropped: boolean): void {
    this.opened.clear();
    this.sealed.clear();
    if (dropped) this.records.clear();
  }
}
