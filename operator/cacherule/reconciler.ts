import type { Clock } from "../../adapters/clock.ts";
import type { KubeClient } from "../../adapters/kube/types.ts";
import type { Condition } from "../../core/conditions.ts";
import { CACHE_RULES, type CacheRegistryObject, type CacheRuleObject, CONDITION, REASON } from "../../crds/index.ts";
import { resolveUpstream } from "../cacheregistry/upstreams.ts";
import { type Events, noteReadiness } from "../events.ts";
import { hold, isHeld, release } from "../finalizer.ts";
import { type CacheProvider, type Providers, providerOf, unsupportedProvider } from "../providers/provider.ts";
import type { UpstreamHealthCache } from "../providers/upstream-health.ts";
import type { Objects, SecretObject } from "../resources.ts";
import type { Reconcile, Result } from "../runtime/controller.ts";
import { writeStatus } from "../status.ts";
import type { RuleVerdict } from "./acceptance.ts";
import { decideDeletingStatus, decideRuleStatus, type RuleFacts, type UpstreamState } from "./decide.ts";
import type { Plans } from "./plans.ts";

/** What the reconciler of CacheRules works with. */
export interface CacheRuleDependencies {
  readonly client: Pick<KubeClient, "applyStatus" | "mergePatch">;
  readonly namespace: string;
  readonly rules: Objects<CacheRuleObject>;
  readonly registries: Objects<CacheRegistryObject>;
  readonly secrets: Objects<SecretObject>;
  readonly plans: Pick<Plans, "of">;
  readonly providers: Providers;
  readonly health: Pick<UpstreamHealthCache, "check">;
  readonly events: Events;
  readonly clock: Clock;
  readonly intervals: RuleIntervals;
}

/** How long until a rule is looked at again although nothing changed. */
export interface RuleIntervals {
  /** While what serves it is on its way. */
  readonly pendingMs: number;
  /** While its upstream or its credentials fail. */
  readonly unhealthyMs: number;
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
  const refuse = (reason: keyof typeof REASON, message: string): Judged => ({
    verdict: { accepted: false, reason: REASON[reason], message },
  });
  if (registry === undefined)
    return refuse("RegistryNotFound", `CacheRegistry "${name}" does not exist; create it, or delete this rule`);
  const kind = providerOf(registry.spec);
  const provider = kind === undefined ? undefined : dependencies.providers.get(kind);
  if (provider === undefined)
    return refuse("UnsupportedProvider", `CacheRegistry "${name}": ${unsupportedProvider(kind)}`);
  const verdict = dependencies.plans.of(registry).verdicts.get(rule.metadata.name);
  if (verdict === undefined) return refuse("InvalidSpec", "the rule was not judged");
  return { verdict, provider, registry };
}

async function upstreamState(
  registry: CacheRegistryObject,
  host: string,
  dependencies: CacheRuleDependencies,
): Promise<UpstreamState> {
  const resolved = resolveUpstream(registry, host, dependencies.secrets, dependencies.namespace);
  if (resolved.kind === "problem") return resolved;
  const anonymous = resolved.upstream.credentials === undefined;
  return { kind: "probed", anonymous, health: await dependencies.health.check(resolved.upstream) };
}

/** Looks at what serves an accepted rule and at its upstream, and makes the registry's product what the rule says. */
async function observe(
  rule: CacheRuleObject,
  judged: Judged,
  dependencies: CacheRuleDependencies,
  signal: AbortSignal,
) {
  const { verdict, provider, registry } = judged;
  if (!verdict.accepted || provider === undefined || registry === undefined || rule.spec.suspend === true) return {};
  const { mapping } = verdict;
  const request = { rule, registry, mapping, host: mapping.source.host };
  const [observation, upstream] = await Promise.all([
    provider.observe(request, signal),
    upstreamState(registry, request.host, dependencies),
  ]);
  if (observation.remote === "absent") await provider.create(request, signal);
  if (observation.remote === "different") await provider.update(request, signal);
  return { observation, upstream };
}

/** Whether gateways may serve the rule already: they do so by what status says, so that comes before what takes time. */
function isAnnounced(rule: CacheRuleObject, verdict: RuleVerdict): boolean {
  const known = rule.status?.conditions?.find(({ type }) => type === CONDITION.Accepted);
  return known?.observedGeneration === rule.metadata.generation && (known.status === "True") === verdict.accepted;
}

function nextLook(facts: RuleFacts, conditions: readonly Condition[], intervals: RuleIntervals): Result {
  const { rule, verdict, upstream, observation } = facts;
  if (!verdict.accepted || rule.spec.suspend === true) return {}; // until something changes
  if (upstream?.kind === "problem") return {};
  if (observation?.serving.done === false && upstream?.health.kind === "reachable")
    return { requeueAfterMs: intervals.pendingMs };
  const isWell = conditions.some(
    ({ type, status, reason }) => type === CONDITION.Ready && status === "True" && reason === REASON.Ready,
  );
  return {
    requeueAfterMs: isWell && observation?.rolledOut.done === true ? intervals.healthyMs : intervals.unhealthyMs,
  };
}

async function finish(
  rule: CacheRuleObject,
  dependencies: CacheRuleDependencies,
  signal: AbortSignal,
): Promise<Result> {
  const { client, clock, intervals, providers, registries } = dependencies;
  if (!isHeld(rule)) return {};
  const registry = registries.get(rule.spec.registryRef.name);
  const kind = registry && providerOf(registry.spec);
  const provider = kind === undefined ? providers.get("inCluster") : providers.get(kind);
  if (provider !== undefined && rule.spec.deletionPolicy !== "Retain") {
    const removal = await provider.remove(rule, registry, signal);
    if (!removal.done) {
      await writeStatus(client, CACHE_RULES, rule, decideDeletingStatus(rule, removal.message, clock.now()), signal);
      return { requeueAfterMs: intervals.pendingMs };
    }
  }
  await release(client, CACHE_RULES, rule, signal);
  return {};
}

/**
 * Reconciles CacheRules: judges a rule among its rivals, has its registry serve it, asks whether that is really so, and says all of it
 * in status. A deleted rule is let go when nobody serves it any more.
 */
export function cacheRuleReconciler(dependencies: CacheRuleDependencies): Reconcile {
  const { client, clock, events } = dependencies;
  const publish = async (facts: RuleFacts, signal: AbortSignal) => {
    const status = decideRuleStatus(facts, clock.now());
    const known = facts.rule.status?.conditions as readonly Condition[] | undefined;
    const conditions = (status.conditions ?? []) as readonly Condition[];
    if (await writeStatus(client, CACHE_RULES, facts.rule, status, signal))
      noteReadiness(events, facts.rule, known, conditions);
    return conditions;
  };
  return async (key, signal) => {
    const rule = dependencies.rules.get(key);
    if (rule === undefined) return {};
    if (rule.metadata.deletionTimestamp !== undefined) return await finish(rule, dependencies, signal);
    await hold(client, CACHE_RULES, rule, signal);
    const { verdict, provider, registry } = judge(rule, dependencies);
    const base: RuleFacts = {
      rule,
      verdict,
      ...(provider && { provider: provider.name }),
      ...(provider && registry && { pullHost: provider.pullHost(registry) }),
    };
    if (!isAnnounced(rule, verdict)) {
      await publish(base, signal);
      return verdict.accepted ? { requeueAfterMs: dependencies.intervals.pendingMs } : {};
    }
    const facts: RuleFacts = {
      ...base,
      ...(await observe(
        rule,
        { verdict, ...(provider && { provider }), ...(registry && { registry }) },
        dependencies,
        signal,
      )),
    };
    return nextLook(facts, await publish(facts, signal), dependencies.intervals);
  };
}
