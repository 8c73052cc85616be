import type { Clock } from "../../adapters/clock.ts";
import type { CacheRegistryObject, CacheRuleObject } from "../../crds/index.ts";

/** Beyond this many steps of one deletion, another one is no progress any more. */
const STEPS_LIMIT = 10_000;

interface Wait {
  readonly uid: string;
  sinceMs: number;
  readonly steps: Set<string>;
}

/**
 * For how long a registry's product was asked in vain: an object that never goes holds up a whole prune, and what goes on needs saying.
 * The time counts from the first such attempt of this process: not from a deletion, which may have waited for something else, or for
 * the operator.
 */
export class Patience {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #patienceMs: number;
  readonly #waits = new Map<string, Wait>();

  constructor(clock: Pick<Clock, "monotonicMs">, patienceMs: number) {
    this.#clock = clock;
    this.#patienceMs = patienceMs;
  }

  /**
   * Whether, with an attempt that just came to nothing, it was for long enough. `step` is what the product says it is about; what it had not said
   * before is progress, and the time counts anew.
   */
  isOver({ metadata: { name, uid } }: CacheRegistryObject | CacheRuleObject, step?: string): boolean {
    const now = this.#clock.monotonicMs();
    const known = this.#waits.get(name);
    const wait = known?.uid === uid ? known : { uid, sinceMs: now, steps: new Set<string>() };
    this.#waits.set(name, wait);
    if (step !== undefined && !wait.steps.has(step) && wait.steps.size < STEPS_LIMIT) {
      wait.steps.add(step);
      wait.sinceMs = now;
    }
    return now - wait.sinceMs > this.#patienceMs;
  }

  /** An object is gone, or its product answers again. */
  forget(name: string): void {
    this.#waits.delete(name);
  }
}
