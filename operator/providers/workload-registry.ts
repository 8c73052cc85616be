import { normaliseHost } from "../../core/image/reference.ts";
import { type ConfigFormat, notedRule, RULES_ANNOTATION } from "../../core/product/rendered.ts";
import { type CacheRegistryObject, type Provider, REASON, type Upstream as UpstreamEntry } from "../../crds/index.ts";
import { upstreamStatus } from "../incluster/readiness.ts";
import { type ExaminedUpstream, hostOf, resolveUpstream } from "../incluster/upstreams.ts";
import type {
  Pending,
  Progress,
  Refusal,
  RegistryOutcome,
  RegistryPlanView,
  RenderedRegistry,
  RuleRequest,
  RuleServing,
  UpstreamState,
} from "./provider.ts";
import { availabilityOf, rolloutOf } from "./workload.ts";
import {
  isAnnotated,
  isOfAnother,
  type LiveRegistry,
  type OwnRegistry,
  pending,
  type RenderedContext,
  type Unusable,
  type WantedRegistry,
  WorkloadConfig,
  wasRendered,
} from "./workload-config.ts";

const DONE: Progress = { done: true };
/** How long one look at a registry's objects answers for all its rules: they ask together. */
const LOOK_MS = 1_000;

interface Look {
  readonly until: number;
  readonly live: Promise<LiveRegistry | Unusable>;
}

/** What zot and distribution have in common: a configuration in a ConfigMap of its owner's, and a workload that is rolled when it changes. */
export abstract class WorkloadRegistry implements RenderedRegistry {
  abstract readonly name: Provider;
  readonly holdsRules = true;
  protected readonly config: WorkloadConfig;
  readonly #context: RenderedContext;
  readonly #looks = new Map<string, Look>();

  constructor(context: RenderedContext, format: ConfigFormat, part: string) {
    this.#context = context;
    this.config = new WorkloadConfig(context, format, part);
  }

  protected abstract block(registry: CacheRegistryObject): OwnRegistry | undefined;
  protected abstract refusal(request: RuleRequest): Refusal | undefined;
  /** What the registry is to be. `upstreams` are those that its rules use. */
  protected abstract render(
    registry: CacheRegistryObject,
    block: OwnRegistry,
    live: LiveRegistry,
    plan: RegistryPlanView,
    upstreams: readonly ExaminedUpstream[],
  ): WantedRegistry | Pending;
  /** What the Secret holds when no upstream has credentials. */
  protected abstract readonly emptyCredentials: Readonly<Record<string, string>>;
  protected abstract beatenMessage(winner: string): string;
  /** Why Pods must not be replaced now; undefined where they may. */
  protected abstract mayRoll(upstreams: readonly ExaminedUpstream[]): Pending | undefined;

  pullHost(registry: CacheRegistryObject): string {
    return this.block(registry)?.pullHost ?? "";
  }

  identity(registry: CacheRegistryObject): string {
    const { name = "", key = "" } = this.block(registry)?.configMapRef ?? {};
    return `${key} of ConfigMap ${name}`;
  }

  judge(request: RuleRequest): Refusal | undefined {
    return this.refusal(request);
  }

  /** The entry of a rule's upstream in its registry's spec. */
  protected entry({ registry, host }: RuleRequest): UpstreamEntry | undefined {
    return registry.spec.upstreams?.find((one) => normaliseHost(one.host) === host);
  }

  async prepare(registry: CacheRegistryObject, plan: RegistryPlanView, signal: AbortSignal): Promise<RegistryOutcome> {
    const examined = await Promise.all(plan.upstreams.map(({ host }) => this.#examine(registry, host)));
    return { ready: await this.#make(registry, plan, examined, signal), upstreams: examined.map(upstreamStatus) };
  }

  async #make(
    registry: CacheRegistryObject,
    plan: RegistryPlanView,
    examined: readonly ExaminedUpstream[],
    signal: AbortSignal,
  ): Promise<Progress> {
    const block = this.block(registry);
    if (block === undefined) return pending(REASON.InvalidSpec, `the CacheRegistry has no ${this.name} block`);
    const live = await this.config.read(registry, block, signal);
    if ("done" in live) return live;
    const used = new Set(plan.upstreams.filter((one) => one.used).map(({ host }) => host));
    const needed = examined.filter((one) => used.has(hostOf(one)));
    const wanted = this.render(registry, block, live, plan, needed);
    if ("done" in wanted) return wanted;
    this.#looks.delete(registry.metadata.uid);
    const isWithdrawn = registry.metadata.deletionTimestamp !== undefined && ({ isWithdrawn: true } as const);
    const applied = await this.config.apply(
      registry,
      block,
      live,
      { ...wanted, ...isWithdrawn },
      this.mayRoll(needed),
      signal,
    );
    if ("done" in applied) return applied;
    const problem = needed.find((one) => one.kind === "problem");
    return problem === undefined ? rolloutOf(applied.workload) : pending(problem.reason, problem.message);
  }

  async #examine(registry: CacheRegistryObject, host: string): Promise<ExaminedUpstream> {
    const { secrets, namespace, health } = this.#context;
    const resolved = resolveUpstream(registry, host, secrets, namespace);
    return resolved.kind === "problem" ? resolved : { ...resolved, health: await health.check(resolved.upstream) };
  }

  async withdraw(registry: CacheRegistryObject, signal: AbortSignal): Promise<Progress> {
    const block = this.block(registry);
    if (block === undefined) return DONE;
    const live = await this.config.read(registry, block, signal);
    if ("done" in live) return live.isUnserved ? DONE : live;
    if (isOfAnother(live, registry)) return DONE; // its configuration, Pods and Secret are not ours to write to
    this.#looks.delete(registry.metadata.uid);
    const credentials = { texts: this.emptyCredentials, required: false };
    const nothing = { isWithdrawn: true, section: undefined, credentials, rules: "" } as const;
    const applied = await this.config.apply(registry, block, live, nothing, undefined, signal);
    if ("done" in applied) return applied;
    const rolled = wasRendered(applied) ? rolloutOf(applied.workload) : DONE;
    if (rolled.done) await this.config.dropSecret(registry, applied, signal); // the last, so that the Pods that mount it could start
    return rolled;
  }

  async #look(registry: CacheRegistryObject, signal: AbortSignal): Promise<LiveRegistry | Unusable> {
    const { uid } = registry.metadata;
    const now = this.#context.clock.monotonicMs();
    const known = this.#looks.get(uid);
    if (known !== undefined && known.until > now) return await known.live;
    const block = this.block(registry);
    if (block === undefined)
      return { ...pending(REASON.InvalidSpec, `the CacheRegistry has no ${this.name} block`), isUnserved: true };
    const live = this.config.read(registry, block, signal);
    this.#looks.set(uid, { until: now + LOOK_MS, live });
    live.catch(() => this.#looks.delete(uid));
    return await live;
  }

  async observe(request: RuleRequest, signal: AbortSignal): Promise<RuleServing> {
    const [live, upstream] = await Promise.all([this.#look(request.registry, signal), this.#upstream(request)]);
    const synced = "done" in live ? live : this.#synced(request, live);
    const serving = "done" in live || !synced.done ? synced : availabilityOf(live.workload);
    return { synced, serving, upstream };
  }

  #synced({ rule, registry }: RuleRequest, live: LiveRegistry): Progress {
    const noted = notedRule(live.configMap.metadata.annotations?.[RULES_ANNOTATION], rule);
    if (noted.kind === "beaten") return pending(REASON.Conflict, this.beatenMessage(noted.by));
    if (noted.kind !== "current" || live.section === undefined) {
      const message = `ConfigMap "${live.configMap.metadata.name}" does not have the rule yet; see the conditions of CacheRegistry "${registry.metadata.name}"`;
      return pending(noted.kind === "older" ? REASON.Updating : REASON.Creating, message);
    }
    return this.#rolledOut(registry, live);
  }

  #rolledOut(registry: CacheRegistryObject, live: LiveRegistry): Progress {
    const { kind, metadata } = live.workload;
    if (isAnnotated(live, registry)) return rolloutOf(live.workload);
    return pending(REASON.Updating, `${kind} "${metadata.name}" is not rolled to its present configuration yet`);
  }

  async #upstream({ registry, host }: RuleRequest): Promise<UpstreamState> {
    const examined = await this.#examine(registry, host);
    if (examined.kind === "problem") return examined;
    const { upstream, health } = examined;
    return { kind: "probed", anonymous: upstream.credentials === undefined, health };
  }

  async removed({ rule, registry }: Pick<RuleRequest, "rule" | "registry">, signal: AbortSignal): Promise<Progress> {
    const live = await this.#look(registry, signal);
    if ("done" in live) return live.isUnserved ? DONE : pending(REASON.Deleting, live.message);
    if (!wasRendered(live)) return DONE;
    if (notedRule(live.configMap.metadata.annotations?.[RULES_ANNOTATION], rule).kind !== "absent") {
      const message = `ConfigMap "${live.configMap.metadata.name}" still has the rule; see the conditions of CacheRegistry "${registry.metadata.name}"`;
      return pending(REASON.Deleting, message);
    }
    if (isOfAnother(live, registry)) return DONE; // it never had the rule, and the Pods are rolled for that one
    const rolled = this.#rolledOut(registry, live);
    return rolled.done ? rolled : { ...rolled, reason: REASON.Deleting };
  }
}
