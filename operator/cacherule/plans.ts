import type { Change } from "../../adapters/kube/store.ts";
import { misfit } from "../../core/cacherule/fitting.ts";
import { parseMapping, type RuleMapping } from "../../core/cacherule/mapping.ts";
import { normaliseHost } from "../../core/image/reference.ts";
import { readRefresh } from "../../core/refresh/plan.ts";
import type { CacheRegistryObject, CacheRuleObject } from "../../crds/index.ts";
import { specChanged } from "../changes.ts";
import { providerFor } from "../providers/lookup.ts";
import type {
  CacheProvider,
  Providers,
  Refusal,
  RegistryPlanView,
  RuleRequest,
  WantedUpstream,
} from "../providers/provider.ts";
import { planRules, type RegistryPlan, type Terms } from "./acceptance.ts";

/** Where rules come from: an informer. */
export interface RuleSource {
  list(): readonly CacheRuleObject[];
  subscribe(handler: (change: Change<CacheRuleObject>) => void): () => void;
}

/** What no product makes good. */
function specRefusal({ spec }: CacheRuleObject, provider: CacheProvider | undefined): Refusal | undefined {
  const plan = readRefresh(spec);
  const message = plan.kind === "problem" ? plan.message : provider && misfit(spec, provider.name);
  return message === undefined ? undefined : { reason: "InvalidSpec", message };
}

/** What the product of a registry adds to the rules of acceptance. */
export function termsOf(registry: CacheRegistryObject, provider: CacheProvider | undefined): Terms {
  const limit = Math.min(registry.spec.limit ?? Number.POSITIVE_INFINITY, provider?.limit ?? Number.POSITIVE_INFINITY);
  return {
    ...(Number.isFinite(limit) && { limit }),
    judge: (rule, mapping) =>
      specRefusal(rule, provider) ?? provider?.judge({ rule, registry, mapping, host: mapping.source.host }),
  };
}

interface Memo {
  readonly uid: string;
  readonly generation: number;
  readonly plan: RegistryPlan;
}

/**
 * What all rules of each registry come to, worked out once for all that ask until a rule is made, changed or deleted: a registry may have
 * thousands, and each of them asks. That a rule was synced meanwhile changes no verdict: it makes a winner stronger.
 */
export class Plans {
  readonly #rules: RuleSource;
  readonly #providers: Providers;
  readonly #memos = new Map<string, Memo>();
  /** By uid. */
  readonly #mappings = new Map<string, { readonly generation: number; readonly mapping: RuleMapping }>();

  constructor(rules: RuleSource, providers: Providers) {
    this.#rules = rules;
    this.#providers = providers;
    rules.subscribe((change) => {
      if (specChanged(change)) this.#memos.clear();
      if (change.after === undefined && change.before !== undefined) this.#mappings.delete(change.before.metadata.uid);
    });
  }

  of(registry: CacheRegistryObject): RegistryPlan {
    const { name, uid, generation } = registry.metadata;
    const known = this.#memos.get(name);
    if (known?.uid === uid && known.generation === generation) return known.plan;
    const provider = providerFor(registry, this.#providers);
    const read = (rule: CacheRuleObject) => this.#read(rule);
    const plan = planRules(name, this.#rules.list(), { ...termsOf(registry, provider), read });
    this.#memos.set(name, { uid, generation, plan });
    return plan;
  }

  #read({ metadata, spec }: CacheRuleObject): RuleMapping {
    const known = this.#mappings.get(metadata.uid);
    if (known?.generation === metadata.generation) return known.mapping;
    const mapping = parseMapping(spec);
    this.#mappings.set(metadata.uid, { generation: metadata.generation, mapping });
    return mapping;
  }

  /** What a registry is to serve: its accepted rules that are not suspended, and the upstreams that those use or that spec lists. */
  view(registry: CacheRegistryObject): RegistryPlanView {
    const { verdicts, hosts } = this.of(registry);
    const rules: RuleRequest[] = [];
    for (const rule of this.#rules.list()) {
      if (rule.spec.registryRef.name !== registry.metadata.name || rule.spec.suspend === true) continue;
      const verdict = verdicts.get(rule.metadata.name);
      if (verdict?.accepted !== true) continue;
      rules.push({ rule, registry, mapping: verdict.mapping, host: verdict.mapping.source.host });
    }
    rules.sort((a, b) => (a.rule.metadata.name < b.rule.metadata.name ? -1 : 1));
    return { rules, upstreams: wantedUpstreams(registry, hosts) };
  }
}

function wantedUpstreams(registry: CacheRegistryObject, used: ReadonlySet<string>): readonly WantedUpstream[] {
  const entries = new Map((registry.spec.upstreams ?? []).map((entry) => [normaliseHost(entry.host), entry]));
  return [...new Set([...used, ...entries.keys()])].sort().map((host) => {
    const entry = entries.get(host);
    return { host, used: used.has(host), ...(entry && { entry }) };
  });
}
