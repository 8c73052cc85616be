import { LRUCache } from "lru-cache";
import type { Say } from "../core/policy/types.ts";

const REMEMBERED = 1_024;

/** Why an admission can't be decided when its deadline has passed and nothing more is known. */
export const MISSED = "the registry did not answer before the admission deadline; try again";

/** The deadline of an admission has passed; the message says what was being waited for. */
export class DeadlineMissed extends Error {}

/** What shared work waits for, for those who give it up: by the key that the work is shared by. */
export class Progress {
  readonly #doing = new LRUCache<string, string>({ max: REMEMBERED });

  /** Does the work that `key` stands for. What it says after `signal` aborted is about its own end, and is not noted; what it said before then stays. */
  async during<T>(key: string, signal: AbortSignal, work: (say: Say) => Promise<T>): Promise<T> {
    this.#doing.delete(key);
    try {
      return await work((doing) => {
        if (!signal.aborted) this.#doing.set(key, doing);
      });
    } finally {
      if (!signal.aborted) this.#doing.delete(key);
    }
  }

  /** Why there is no answer when the deadline of an admission has passed. */
  missed(key: string): string {
    const doing = this.#doing.get(key);
    if (doing === undefined) return MISSED;
    return `no answer before the admission deadline (${doing}); try again`;
  }
}
