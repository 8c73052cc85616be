import type { Change } from "../../adapters/kube/store.ts";
import type { CacheRegistryObject, CacheRuleObject } from "../../crds/index.ts";
import { specChanged } from "../changes.ts";
import { planRules, type RegistryPlan } from "./acceptance.ts";

/** Where rules come from: an informer. */
export interface RuleSource {
  list(): readonly CacheRuleObject[];
  subscribe(handler: (change: Change<CacheRuleObject>) => void): () => void;
}

interface Memo {
  readonly limit: number | undefined;
  readonly plan: RegistryPlan;
}

/**
 * What all rules of each registry come to, worked out once for all that ask until a rule is made, changed or deleted: a registry may have
 * thousands, and each of them asks. That a rule was synced meanwhile changes no verdict: it makes a winner stronger.
 */
export class Plans {
  readonly #rules: RuleSource;
  readonly #memos = new Map<string, Memo>();

  constructor(rules: RuleSource) {
    this.#rules = rules;
    rules.subscribe((change) => {
      if (specChanged(change)) this.#memos.clear();
    });
  }

  of(registry: CacheRegistryObject): RegistryPlan {
    const { name } = registry.metadata;
    const { limit } = registry.spec;
    const known = this.#memos.get(name);
    if (known !== undefined && known.limit === limit) return known.plan;
    const plan = planRules(name, this.#rules.list(), limit);
    this.#memos.set(name, { limit, plan });
    return plan;
  }
}
