import type { Clock } from "../../adapters/clock.ts";
import { type HeldTag, keyOf } from "../../core/refresh/held.ts";
import type { RefreshPlan } from "../../core/refresh/plan.ts";
import { untilFirstLookMs } from "../../core/refresh/schedule.ts";
import type { CacheRuleObject } from "../../crds/index.ts";

/** What is remembered of a rule between looks. Status has the newest of `held`; the rest, and all times, live as long as the process. */
export interface Remembered {
  readonly uid: string;
  /** What was asked for: something else is looked at at once. */
  version: string;
  dueAtMs: number;
  failures: number;
  /** The last look did not take place because of what the rule's status says. */
  blocked: boolean;
  /** By repository and tag. */
  readonly held: Map<string, HeldTag>;
  /** What was last said in a Warning. */
  said: string | undefined;
}

/** The memory of all rules with `spec.refresh`. */
export class RefreshMemory {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #rules = new Map<string, Remembered>();

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  /** What is known of a rule; a rule seen for the first time begins with what its status says. */
  of(rule: CacheRuleObject, plan: RefreshPlan): Remembered {
    const { name, uid } = rule.metadata;
    const version = JSON.stringify([rule.spec.refresh]);
    const known = this.#rules.get(name);
    const now = this.#clock.monotonicMs();
    if (known?.uid === uid) {
      if (known.version !== version) Object.assign(known, { version, dueAtMs: now, failures: 0 });
      return known;
    }
    const tags: readonly HeldTag[] = rule.status?.cached?.tags ?? [];
    const fresh: Remembered = {
      uid,
      version,
      dueAtMs: now + untilFirstLookMs(uid, plan.intervalMs, rule.status?.cached !== undefined),
      failures: 0,
      blocked: false,
      held: new Map(tags.map((one) => [keyOf(one), one])),
      said: undefined,
    };
    this.#rules.set(name, fresh);
    return fresh;
  }

  forget(name: string): void {
    this.#rules.delete(name);
  }
}
