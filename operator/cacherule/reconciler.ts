import type { Clock } from "../../adapters/clock.ts";
import type { KubeClient } from "../../adapters/kube/types.ts";
import { ProductError } from "../../adapters/products/errors.ts";
import { parseMapping, type RuleMapping } from "../../core/cacherule/mapping.ts";
import type { Condition } from "../../core/conditions.ts";
import {
  CACHE_RULES,
  type CacheRegistryObject,
  type CacheRuleObject,
  CONDITION,
  REASON,
  type Reason,
} from "../../crds/index.ts";
import { type Events, noteReadiness } from "../events.ts";
import { hold, isHeld, release } from "../finalizer.ts";
import { NothingMade } from "../providers/attempts.ts";
import { elderOf, providerFor } from "../providers/lookup.ts";
import { Patience } from "../providers/patience.ts";
import {
  type CacheProvider,
  type Providers,
  providerOf,
  type Removal,
  type RuleOutcome,
  type RuleRequest,
  unsupportedProvider,
} from "../providers/provider.ts";
import { driftMs, noteLeft, type RemoteIntervals } from "../providers/remote.ts";
import type { Objects } from "../resources.ts";
import type { Reconcile, Result } from "../runtime/controller.ts";
import { writeStatus } from "../status.ts";
import type { RuleVerdict } from "./acceptance.ts";
import { decideDeletingStatus, decideRuleStatus, type RuleFacts } from "./decide.ts";
import type { Plans } from "./plans.ts";

/** What the reconciler of CacheRules works with. */
export interface CacheRuleDependencies {
  readonly client: Pick<KubeClient, "applyStatus" | "mergePatch">;
  readonly rules: Objects<CacheRuleObject>;
  readonly registries: Objects<CacheRegistryObject>;
  readonly plans: Pick<Plans, "of">;
  readonly providers: Providers;
  readonly events: Events;
  readonly clock: Clock;
  readonly intervals: RuleIntervals;
}

/** How long until a rule is looked at again although nothing changed. */
export interface RuleIntervals extends RemoteIntervals {
  /** While what serves it is on its way. */
  readonly pendingMs: number;
  readonly healthyMs: number;
}

interface Judged {
  readonly verdict: RuleVerdict;
  readonly provider?: CacheProvider;
  readonly registry?: CacheRegistryObject;
}

function judge(rule: CacheRuleObject, dependencies: CacheRuleDependencies): Judged {
  const { name } = rule.spec.registryRef;
  const registry = dependencies.registries.get(name);
  const refuse = (reason: Reason, message: string): Judged => ({ verdict: { accepted: false, reason, message } });
  if (registry === undefined)
    return refuse(REASON.RegistryNotFound, `CacheRegistry "${name}" does not exist; create it, or delete this rule`);
  const provider = providerFor(registry, dependencies.providers);
  if (provider === undefined)
    return refuse(
      REASON.UnsupportedProvider,
      `CacheRegistry "${name}": ${unsupportedProvider(providerOf(registry.spec))}`,
    );
  const elder = elderOf(registry, dependencies.registries.list(), provider)?.metadata.name;
  if (elder !== undefined)
    return refuse(
      REASON.DuplicateRegistry,
      `CacheRegistry "${name}" is the same registry as CacheRegistry "${elder}", which was there first; name that one`,
    );
  const verdict = dependencies.plans.of(registry).verdicts.get(rule.metadata.name);
  if (verdict === undefined) return refuse(REASON.InvalidSpec, "the rule was not judged");
  return { verdict, provider, registry };
}

/** Whether gateways may serve the rule already: they do so by what status says, so that comes before what takes time. */
function isAnnounced(rule: CacheRuleObject, verdict: RuleVerdict): boolean {
  const known = rule.status?.conditions?.find(({ type }) => type === CONDITION.Accepted);
  return known?.observedGeneration === rule.metadata.generation && (known.status === "True") === verdict.accepted;
}

const ON_THE_WAY: readonly Reason[] = [REASON.Creating, REASON.Updating, REASON.DriftCorrected];

/** When to look again at a rule of a product: soon while something is under way, else at the drift interval. */
function nextRemoteLook({ synced }: RuleOutcome, registry: CacheRegistryObject, intervals: RuleIntervals): Result {
  const isMoving = !synced.done && ON_THE_WAY.includes(synced.reason);
  return {
    requeueAfterMs: isMoving
      ? Math.min(intervals.unhealthyMs, driftMs(registry, intervals))
      : driftMs(registry, intervals),
  };
}

function nextLook(outcome: RuleOutcome, conditions: readonly Condition[], intervals: RuleIntervals): Result {
  const { upstream, serving, synced } = outcome;
  if (upstream?.kind === "problem") return {}; // until something changes
  if (!serving.done && upstream?.health.kind !== "unreachable" && upstream?.health.kind !== "refused")
    return { requeueAfterMs: intervals.pendingMs };
  const isWell = conditions.some(
    ({ type, status, reason }) => type === CONDITION.Ready && status === "True" && reason === REASON.Ready,
  );
  return { requeueAfterMs: isWell && synced.done ? intervals.healthyMs : intervals.unhealthyMs };
}

/** Whether the rule was found in its product as this generation says. */
function wasSynced(rule: CacheRuleObject): boolean {
  const known = rule.status?.conditions?.find(({ type }) => type === CONDITION.Synced);
  return known?.status === "True" && known.observedGeneration === rule.metadata.generation;
}

/** `status.cached` is another controller's. */
function ownPart(rule: CacheRuleObject): CacheRuleObject {
  if (rule.status?.cached === undefined) return rule;
  const { cached: _cached, ...status } = rule.status;
  return { ...rule, status };
}

/** One pass over one rule. */
class Pass {
  readonly #rule: CacheRuleObject;
  readonly #dependencies: CacheRuleDependencies;
  readonly #patience: Patience;
  readonly #signal: AbortSignal;

  constructor(rule: CacheRuleObject, dependencies: CacheRuleDependencies, patience: Patience, signal: AbortSignal) {
    this.#rule = rule;
    this.#dependencies = dependencies;
    this.#patience = patience;
    this.#signal = signal;
  }

  async #publish(facts: RuleFacts): Promise<readonly Condition[]> {
    const { client, clock, events } = this.#dependencies;
    const status = decideRuleStatus(facts, clock.now());
    const known = facts.rule.status?.conditions as readonly Condition[] | undefined;
    const conditions = (status.conditions ?? []) as readonly Condition[];
    if (await writeStatus(client, CACHE_RULES, facts.rule, status, this.#signal)) {
      noteReadiness(events, facts.rule, known, conditions);
      this.#noteDrift(facts);
    }
    return conditions;
  }

  #noteDrift({ rule, outcome }: RuleFacts): void {
    const { events } = this.#dependencies;
    const fields = outcome?.remote?.drift ?? [];
    if (fields.length === 0 || outcome === undefined || outcome.synced.done) return;
    const isCorrected = outcome.synced.reason === REASON.Creating || outcome.synced.reason === REASON.DriftCorrected;
    const note = fields.includes("*")
      ? `"${outcome.remote?.remoteId}" was gone from the registry and is made again`
      : outcome.synced.message;
    const reason = isCorrected ? REASON.DriftCorrected : outcome.synced.reason;
    events.record({ regarding: rule, type: "Warning", reason, action: "Reconcile", note });
  }

  async serve(): Promise<Result> {
    const rule = this.#rule;
    const { intervals } = this.#dependencies;
    const { verdict, provider, registry } = judge(rule, this.#dependencies);
    const base: RuleFacts = {
      rule,
      verdict,
      ...(provider && { provider: provider.name }),
      ...(provider && registry && { pullHost: provider.pullHost(registry) }),
    };
    if (!isAnnounced(rule, verdict)) {
      await this.#publish(base);
      return verdict.accepted ? { requeueAfterMs: intervals.pendingMs } : {};
    }
    if (!verdict.accepted || provider === undefined || registry === undefined || rule.spec.suspend === true) {
      await this.#publish(base);
      return {}; // until something changes
    }
    const { mapping } = verdict;
    const request: RuleRequest = { rule, registry, mapping, host: mapping.source.host };
    try {
      const outcome = await provider.serve(request, this.#signal);
      const conditions = await this.#publish({ ...base, outcome });
      return provider.isRemote
        ? nextRemoteLook(outcome, registry, intervals)
        : nextLook(outcome, conditions, intervals);
    } catch (thrown) {
      if (!(thrown instanceof ProductError)) throw thrown;
      return await this.#failed(thrown, base, registry);
    }
  }

  /**
   * The product did not answer, or said no. A rule that was found in order stays as it was while the product can't be asked: its
   * registry says so, once, and a thousand rules need not.
   */
  async #failed(error: ProductError, base: RuleFacts, registry: CacheRegistryObject): Promise<Result> {
    const { intervals } = this.#dependencies;
    if (error.terminal || !wasSynced(base.rule)) {
      const pending = { done: false, reason: error.reason, message: error.message } as const;
      const { remoteId, remoteCreationTime, adopted } = error instanceof NothingMade ? {} : (base.rule.status ?? {});
      const known = remoteId !== undefined && {
        remote: {
          remoteId,
          ...(remoteCreationTime !== undefined && { remoteCreationTime }),
          adopted: adopted === true,
          drift: [],
        },
      };
      await this.#publish({ ...base, outcome: { synced: pending, serving: pending, ...known } });
    }
    if (error.terminal) return { requeueAfterMs: driftMs(registry, intervals) };
    if (error.retryAfterMs !== undefined) return { requeueAfterMs: error.retryAfterMs };
    throw error;
  }

  async finish(): Promise<Result> {
    const { client, clock, events, intervals } = this.#dependencies;
    const rule = this.#rule;
    if (!isHeld(rule)) return {};
    const waiting = async (message: string, requeueAfterMs: number): Promise<Result> => {
      await writeStatus(client, CACHE_RULES, rule, decideDeletingStatus(rule, message, clock.now()), this.#signal);
      return { requeueAfterMs };
    };
    try {
      const removal = await this.#remove();
      if (!removal.done && !this.#patience.isOver(rule, removal.message))
        return await waiting(removal.message, intervals.pendingMs);
      const left = removal.done ? removal.left : removal.message;
      if (left !== undefined) noteLeft(events, rule, left);
    } catch (thrown) {
      if (!(thrown instanceof ProductError)) throw thrown;
      const isGone = thrown.code === "PRODUCT_REGISTRY_NOT_FOUND"; // and the rule with it
      if (!isGone && !this.#patience.isOver(rule))
        return await waiting(thrown.message, thrown.retryAfterMs ?? intervals.unhealthyMs);
      if (!isGone)
        noteLeft(
          events,
          rule,
          `"${rule.status?.remoteId ?? rule.spec.target}" stays in the registry: ${thrown.message}`,
        );
    }
    await release(client, CACHE_RULES, rule, this.#signal);
    return {};
  }

  async #remove(): Promise<Removal> {
    const rule = this.#rule;
    const { registries, providers } = this.#dependencies;
    const { deletionPolicy = "Delete" } = rule.spec;
    const registry = registries.get(rule.spec.registryRef.name);
    const provider = registry && providerFor(registry, providers);
    const mapping = readable(rule);
    const remoteId = rule.status?.remoteId;
    if (deletionPolicy === "Retain") return { done: true };
    if (registry === undefined || provider === undefined || mapping === undefined) {
      const why = registry === undefined ? "its CacheRegistry is gone" : "its CacheRegistry or the rule can't be read";
      return { done: true, ...(remoteId !== undefined && { left: `"${remoteId}" stays in the registry: ${why}` }) };
    }
    const request: RuleRequest = { rule, registry, mapping, host: mapping.source.host };
    return await provider.remove(request, deletionPolicy === "DeleteWithImages", this.#signal);
  }
}

function readable(rule: CacheRuleObject): RuleMapping | undefined {
  try {
    return parseMapping(rule.spec);
  } catch {
    return undefined; // then nothing was ever made for it
  }
}

/**
 * Reconciles CacheRules: judges a rule among its rivals, has its registry serve it, asks whether that is really so, and says all of it
 * in status. A deleted rule is let go when nobody serves it any more, or when its product can't be asked for so long that it would
 * hold up everything that is deleted with it.
 */
export function cacheRuleReconciler(dependencies: CacheRuleDependencies): Reconcile {
  const patience = new Patience(dependencies.clock, dependencies.intervals.patienceMs);
  return async (key, signal) => {
    const found = dependencies.rules.get(key);
    if (found === undefined) {
      patience.forget(key);
      return {};
    }
    const rule = ownPart(found);
    const pass = new Pass(rule, dependencies, patience, signal);
    if (rule.metadata.deletionTimestamp !== undefined) return await pass.finish();
    await hold(dependencies.client, CACHE_RULES, rule, signal);
    return await pass.serve();
  };
}
