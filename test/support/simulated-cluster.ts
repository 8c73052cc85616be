import type { ObjectKey } from "../../adapters/kube/types.ts";
import { silentLog as log } from "../../adapters/telemetry/log.ts";
import type { CacheRegistryObject, CacheRuleObject } from "../../crds/index.ts";
import { cacheRegistryReconciler } from "../../operator/cacheregistry/reconciler.ts";
import { Plans } from "../../operator/cacherule/plans.ts";
import { cacheRuleReconciler } from "../../operator/cacherule/reconciler.ts";
import type { CacheProvider, Providers } from "../../operator/providers/provider.ts";
import { runController } from "../../operator/runtime/controller.ts";
import { WorkQueue } from "../../operator/runtime/workqueue.ts";
import { FakeClock, settle } from "./fake-clock.ts";

const INTERVALS = { pendingMs: 500, healthyMs: 60_000, unhealthyMs: 5_000, driftMs: 600_000, patienceMs: 600_000 };

interface Stored {
  readonly rules: Map<string, CacheRuleObject>;
  readonly registries: Map<string, CacheRegistryObject>;
}

interface Written {
  readonly metadata: { readonly name: string };
  readonly status?: object;
}

/** Custom resources in memory with the reconcilers of rules and registries over them, on a clock that tests move. */
export class SimulatedCluster {
  readonly clock = new FakeClock();
  readonly events: { readonly reason: string; readonly note: string }[] = [];
  readonly #stored: Stored;
  readonly #stop = new AbortController();
  readonly #queues: { readonly rules: WorkQueue; readonly registries: WorkQueue };
  readonly #running: Promise<unknown>;
  statusWrites = 0;
  finalizerWrites = 0;

  /** `before` was stopped: its objects are found as it left them. */
  constructor(provider: CacheProvider, before?: SimulatedCluster) {
    const { clock } = this;
    this.#stored = before === undefined ? { rules: new Map(), registries: new Map() } : before.#stored;
    const queue = (name: string) => new WorkQueue({ name, clock, random: () => 0.5 });
    this.#queues = { rules: queue("cacherule"), registries: queue("cacheregistry") };
    const providers: Providers = new Map([[provider.name, provider]]);
    const rules = { get: (key: string) => this.rule(key), list: () => [...this.#stored.rules.values()] };
    const registries = { get: (key: string) => this.registry(key), list: () => [...this.#stored.registries.values()] };
    const plans = {
      of: (registry: CacheRegistryObject) => this.#plans(rules, providers).of(registry),
      view: (registry: CacheRegistryObject) => this.#plans(rules, providers).view(registry),
    };
    const events = { record: (event: { reason: string; note: string }) => void this.events.push(event) };
    const client = {
      applyStatus: async (resource: { kind: string }, object: Written) =>
        await this.#writeStatus(resource.kind, object),
      mergePatch: async (resource: { kind: string }, name: string, patch: object) =>
        await this.#patch(resource.kind, name, patch),
    };
    // As much of the client as the two reconcilers call.
    const common = {
      client: client as never,
      providers,
      plans,
      rules,
      registries,
      events: events as never,
      clock,
      log,
      intervals: INTERVALS,
    };
    const start = (one: "rules" | "registries", reconcile: ReturnType<typeof cacheRuleReconciler>) =>
      runController({ queue: this.#queues[one], reconcile, log, clock, workers: 4 }, this.#stop.signal);
    this.#running = Promise.all([
      start("rules", cacheRuleReconciler(common)),
      start("registries", cacheRegistryReconciler(common)),
    ]);
    for (const name of this.#stored.registries.keys()) this.#queues.registries.add(name);
    for (const name of this.#stored.rules.keys()) this.ask(name);
  }

  #plans(rules: { list: () => readonly CacheRuleObject[] }, providers: Providers): Plans {
    return new Plans({ list: rules.list, subscribe: () => () => undefined }, providers);
  }

  rule(name: string): CacheRuleObject | undefined {
    return this.#stored.rules.get(name);
  }

  registry(name: string): CacheRegistryObject | undefined {
    return this.#stored.registries.get(name);
  }

  /** `status reason` of a condition of a rule. */
  condition(name: string, type: string): string | undefined {
    const found = this.rule(name)?.status?.conditions?.find((one) => one.type === type);
    return found && `${found.status} ${found.reason}`;
  }

  applyRegistry(name: string, spec: Partial<CacheRegistryObject["spec"]>): void {
    const before = this.registry(name);
    const auth = { workloadIdentity: {} };
    const azure = { subscriptionId: "s", resourceGroup: "g", registryName: name, auth };
    this.#stored.registries.set(name, {
      apiVersion: "entrepot.dev/v1alpha1",
      kind: "CacheRegistry",
      ...before,
      metadata: this.#metadata(name, before?.metadata),
      spec: { azure, ...spec },
    });
    this.#queues.registries.add(name);
  }

  /** As when it was let go: without a word to the reconcilers, which triggers bring. */
  removeRegistry(name: string): void {
    this.#stored.registries.delete(name);
  }

  deleteRegistry(name: string): void {
    const registry = this.registry(name);
    if (registry === undefined) return;
    const deletionTimestamp = registry.metadata.deletionTimestamp ?? this.clock.now().toISOString();
    this.#stored.registries.set(name, { ...registry, metadata: { ...registry.metadata, deletionTimestamp } });
    this.#queues.registries.add(name);
  }

  applyRule(name: string, spec: Partial<CacheRuleObject["spec"]> = {}): void {
    const before = this.rule(name);
    this.#stored.rules.set(name, {
      apiVersion: "entrepot.dev/v1alpha1",
      kind: "CacheRule",
      ...before,
      metadata: this.#metadata(name, before?.metadata),
      spec: { registryRef: { name: "main" }, source: `docker.io/acme/${name}`, target: name, ...spec },
    });
    this.ask(name);
  }

  /** As a new value of the annotation does, or the echo of a write. */
  ask(rule: string): void {
    this.#queues.rules.add(rule);
  }

  deleteRule(name: string): void {
    const rule = this.rule(name);
    if (rule === undefined) return;
    const deletionTimestamp = rule.metadata.deletionTimestamp ?? this.clock.now().toISOString();
    this.#stored.rules.set(name, { ...rule, metadata: { ...rule.metadata, deletionTimestamp } });
    this.#letGo(this.#stored.rules, name);
    this.ask(name);
  }

  /** As a restore from a backup does that has no status. */
  loseStatus(name: string): void {
    const { status: _status, ...rule } = this.rule(name) ?? {};
    if ("metadata" in rule) this.#stored.rules.set(name, rule as CacheRuleObject);
    this.ask(name);
  }

  async advance(seconds: number): Promise<void> {
    for (let i = 0; i < 30; i++) await settle();
    await this.clock.advance(seconds * 1_000);
    for (let i = 0; i < 30; i++) await settle();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  #metadata(name: string, before: CacheRuleObject["metadata"] | undefined): CacheRuleObject["metadata"] {
    if (before !== undefined) return { ...before, generation: before.generation + 1 };
    const creationTimestamp = this.clock.now().toISOString();
    return {
      name,
      uid: `uid-${name}-${this.clock.now().getTime()}`,
      generation: 1,
      resourceVersion: "1",
      creationTimestamp,
    };
  }

  async #writeStatus(kind: string, object: Written): Promise<void> {
    this.statusWrites += 1;
    const all: Map<string, { status?: object }> = kind === "CacheRule" ? this.#stored.rules : this.#stored.registries;
    const found = all.get(object.metadata.name);
    if (found !== undefined) all.set(object.metadata.name, { ...found, status: object.status ?? {} });
    this.#echo(kind, object.metadata.name);
  }

  async #patch(kind: string, name: string, patch: { metadata?: { finalizers?: readonly string[] } }): Promise<void> {
    this.finalizerWrites += 1;
    const all: Map<string, { metadata: CacheRuleObject["metadata"] }> =
      kind === "CacheRule" ? this.#stored.rules : this.#stored.registries;
    const found = all.get(name);
    if (found === undefined) return;
    all.set(name, { ...found, metadata: { ...found.metadata, finalizers: patch.metadata?.finalizers ?? [] } });
    this.#letGo(all, name);
    this.#echo(kind, name);
  }

  #letGo(all: Map<string, { metadata: CacheRuleObject["metadata"] }>, name: string): void {
    const { deletionTimestamp, finalizers = [] } = all.get(name)?.metadata ?? {};
    if (deletionTimestamp !== undefined && finalizers.length === 0) all.delete(name);
  }

  #echo(kind: string, name: ObjectKey): void {
    (kind === "CacheRule" ? this.#queues.rules : this.#queues.registries).add(name);
  }
}
