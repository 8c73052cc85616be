import { acceptRules, type TargetClaim } from "../../core/cacherule/conflicts.ts";
import { parseMapping, type RuleMapping } from "../../core/cacherule/mapping.ts";
import { conditionIsTrue } from "../../core/cacherule/servable.ts";
import { messageOf } from "../../core/errors.ts";
import { type CacheRuleObject, CONDITION, REASON, type Reason } from "../../crds/index.ts";
import type { Refusal } from "../providers/provider.ts";

/** Whether a rule can be served as it is written, among the rules of its registry. */
export type RuleVerdict =
  | { readonly accepted: true; readonly mapping: RuleMapping }
  | { readonly accepted: false; readonly reason: Reason; readonly message: string; readonly conflictsWith?: string };

/** What all rules of one registry come to. */
export interface RegistryPlan {
  readonly verdicts: ReadonlyMap<string, RuleVerdict>;
  /** Hosts (as `normaliseHost` spells them) that an accepted rule is about, suspended rules included: their content is kept. */
  readonly hosts: ReadonlySet<string>;
}

/** What a registry's product adds to the rules of acceptance. */
export interface Terms {
  /** The most rules that it takes, `spec.limit` considered. */
  readonly limit?: number;
  /** Whether it can serve a rule as it is written. */
  readonly judge?: (rule: CacheRuleObject, mapping: RuleMapping) => Refusal | undefined;
  /** Both sides of a rule as `parseMapping` reads them, for whoever remembers them: reading is most of the work. */
  readonly read?: (rule: CacheRuleObject) => RuleMapping;
}

interface Readable {
  readonly rule: CacheRuleObject;
  readonly mapping: RuleMapping;
}

function claim({ rule, mapping }: Readable): TargetClaim {
  const { name, creationTimestamp } = rule.metadata;
  return { name, target: mapping.target, synced: conditionIsTrue(rule, CONDITION.Synced), creationTimestamp };
}

function overLimit(accepted: readonly Readable[], limit: number | undefined): ReadonlySet<string> {
  if (limit === undefined || accepted.length <= limit) return new Set();
  const rank = (one: Readable) =>
    [
      conditionIsTrue(one.rule, CONDITION.Synced) ? "0" : "1",
      one.rule.metadata.creationTimestamp,
      one.rule.metadata.name,
    ].join(" ");
  const byAge = accepted
    .map((one) => ({ name: one.rule.metadata.name, rank: rank(one) }))
    .sort((a, b) => (a.rank < b.rank ? -1 : 1));
  return new Set(byAge.slice(limit).map(({ name }) => name));
}

/** The rules that can be read and that the product can serve; the others have their verdict already. */
function readable(
  rules: readonly CacheRuleObject[],
  { judge, read = ({ spec }) => parseMapping(spec) }: Terms,
  verdicts: Map<string, RuleVerdict>,
): readonly Readable[] {
  const found: Readable[] = [];
  for (const rule of rules) {
    try {
      const mapping = read(rule);
      const refusal = judge?.(rule, mapping);
      if (refusal === undefined) found.push({ rule, mapping });
      else verdicts.set(rule.metadata.name, { accepted: false, ...refusal });
    } catch (thrown) {
      verdicts.set(rule.metadata.name, { accepted: false, reason: REASON.InvalidSpec, message: messageOf(thrown) });
    }
  }
  return found;
}

/**
 * Judges every rule of the CacheRegistry `registry` (`rules` may contain others' too): by its own shape, by what the product can serve,
 * against the others, against the limit. Rules that are being deleted claim nothing and have no verdict.
 */
export function planRules(registry: string, rules: readonly CacheRuleObject[], terms: Terms = {}): RegistryPlan {
  const { limit } = terms;
  const verdicts = new Map<string, RuleVerdict>();
  const mine = rules.filter(
    ({ spec, metadata }) => spec.registryRef.name === registry && metadata.deletionTimestamp === undefined,
  );
  const candidates = readable(mine, terms, verdicts);
  const acceptances = acceptRules(candidates.map(claim));
  const winners = candidates.filter(({ rule }) => acceptances.get(rule.metadata.name)?.accepted === true);
  const excess = overLimit(winners, limit);
  for (const { rule, mapping } of candidates) {
    const { name } = rule.metadata;
    const acceptance = acceptances.get(name);
    if (acceptance?.accepted !== true) {
      const { reason = REASON.Conflict, message = "", conflictsWith } = acceptance ?? {};
      verdicts.set(name, { accepted: false, reason, message, ...(conflictsWith !== undefined && { conflictsWith }) });
    } else if (excess.has(name)) {
      const message = `CacheRegistry "${registry}" accepts ${limit} rules and has that many; delete one, or raise its spec.limit if its product allows more`;
      verdicts.set(name, { accepted: false, reason: REASON.LimitExceeded, message });
    } else {
      verdicts.set(name, { accepted: true, mapping });
    }
  }
  const hosts = new Set(
    [...verdicts.values()].flatMap((verdict) => (verdict.accepted ? [verdict.mapping.source.host] : [])),
  );
  return { verdicts, hosts };
}
