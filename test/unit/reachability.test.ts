import { expect } from "chai";
import { silentLog } from "../../adapters/telemetry/log.ts";
import { type Condition, setCondition } from "../../core/conditions.ts";
import { decideReachable, isWatched, judgeAnswer, mayRewrite, type Probe } from "../../core/reachability/reachable.ts";
import type { RewriteMode } from "../../core/webhookconfig/rewriting.ts";
import { type CacheRegistryObject, type CacheRuleObject, FINALIZER } from "../../crds/index.ts";
import { cacheRegistryReconciler } from "../../operator/cacheregistry/reconciler.ts";
import { REACHABILITY_FIELD_MANAGER, reachabilityReconciler } from "../../operator/reachability/reconciler.ts";
import { FakeClock } from "../support/fake-clock.ts";

const UP: Probe = { reached: true };
const REFUSED: Probe = { reached: false, why: "it refuses the connection" };
const SILENT: Probe = { reached: false, why: "it gave no answer" };
const NOW = new Date("2030-01-01T00:00:00Z");

function condition(status: "True" | "False"): Condition {
  return {
    type: "Reachable",
    status,
    reason: "x",
    message: "as it was",
    observedGeneration: 1,
    lastTransitionTime: "2029-01-01T00:00:00Z",
  };
}

function rule(change: object = {}, accepted: "True" | "False" = "True"): CacheRuleObject {
  return {
    apiVersion: "entrepot.dev/v1alpha1",
    kind: "CacheRule",
    metadata: { name: "a", uid: "a", generation: 1, resourceVersion: "1", creationTimestamp: "" },
    spec: { registryRef: { name: "main" }, source: "docker.io/*", target: "*", ...change },
    status: { conditions: [{ ...condition(accepted), type: "Accepted" }] },
  };
}

describe("whether a registry is reachable", () => {
  for (const status of [200, 401, 403, 429])
    it(`${status} is a registry's answer`, () => expect(judgeAnswer(status)).to.deep.equal(UP));
  for (const status of [204, 301, 307, 400, 404, 500, 502, 503])
    it(`${status} is none`, () => {
      const found = judgeAnswer(status);
      expect(found.reached ? "" : found.why).to.contain(`HTTP status ${status}`);
    });

  const cases: readonly [string, Condition | undefined, readonly Probe[], "True" | "False" | "as it was"][] = [
    ["nothing is known yet", undefined, [], "as it was"],
    ["the first answer says so", undefined, [UP], "True"],
    ["one failure is no news, at first", undefined, [REFUSED], "as it was"],
    ["one failure is no news, later", condition("True"), [REFUSED, UP], "as it was"],
    ["two in a row are", condition("True"), [REFUSED, REFUSED], "False"],
    ["two in a row are, whatever the reasons", condition("True"), [SILENT, REFUSED], "False"],
    ["one answer is enough", condition("False"), [UP, REFUSED], "True"],
    ["after a restart a failure changes nothing", condition("False"), [REFUSED], "as it was"],
    ["reasons that change from probe to probe are not written", condition("False"), [SILENT, REFUSED], "as it was"],
    ["another reason that stays is", condition("False"), [SILENT, SILENT], "False"],
  ];
  for (const [name, before, probes, wanted] of cases)
    it(name, () => {
      const decided = decideReachable("cache.example", before, probes);
      expect(decided?.status ?? "as it was").to.equal(wanted);
    });

  it("says why, and what becomes of Pods", () => {
    expect(decideReachable("cache.example", undefined, [REFUSED, REFUSED])).to.deep.equal({
      type: "Reachable",
      status: "False",
      reason: "Unreachable",
      message: "cache.example: it refuses the connection. Pods keep the upstream's names until it answers",
    });
  });

  it("matters where an accepted rule may rewrite, and nowhere else", () => {
    const main = { metadata: { name: "main" }, spec: {} };
    expect(isWatched(main, [rule()], "labelled")).to.equal(true);
    expect(isWatched(main, [rule({ rewrite: "Never" }), rule()], "all")).to.equal(true);
    expect(isWatched(main, [rule()], "off")).to.equal(false);
    expect(isWatched(main, [rule({ rewrite: "Never" })], "all")).to.equal(false);
    expect(isWatched(main, [rule({}, "False")], "all")).to.equal(false);
    expect(isWatched(main, [rule({ registryRef: { name: "other" } })], "all")).to.equal(false);
    expect(isWatched({ ...main, spec: { inCluster: {} } }, [rule()], "all")).to.equal(false);
    expect(mayRewrite(rule({ rewrite: "Pods" }))).to.equal(true);
  });
});

/** One registry that is asked in simulated time. */
class Stage {
  readonly clock = new FakeClock(NOW);
  readonly writes: (Condition | undefined)[] = [];
  readonly events: string[] = [];
  readonly asked: string[] = [];
  found: Probe = UP;
  mode: RewriteMode = "labelled";
  rules: readonly CacheRuleObject[] = [rule()];
  host = "cache.example/path";
  registry: CacheRegistryObject = {
    apiVersion: "entrepot.dev/v1alpha1",
    kind: "CacheRegistry",
    metadata: { name: "main", uid: "1", generation: 1, resourceVersion: "1", creationTimestamp: "" },
    spec: {},
    status: { conditions: [{ ...condition("True"), type: "Ready" }] },
  };
  readonly #reconcile = reachabilityReconciler({
    client: {
      applyStatus: async (_resource, object, options) => {
        expect(options?.fieldManager).to.equal(REACHABILITY_FIELD_MANAGER);
        const { status } = object as unknown as CacheRegistryObject;
        for (const { type } of status?.conditions ?? []) expect(type).to.equal("Reachable");
        const written = status?.conditions?.[0] as Condition | undefined;
        this.writes.push(written);
        const others = (this.registry.status?.conditions ?? []).filter(({ type }) => type !== "Reachable");
        const conditions = written === undefined ? others : setCondition(others, written, this.clock.now());
        const after = { ...this.registry.status, conditions: conditions.map((one) => ({ ...one })) };
        this.registry = { ...this.registry, status: after };
        return object;
      },
    },
    registries: { get: (name) => (name === "main" ? this.registry : undefined) },
    rules: { list: () => this.rules },
    rewriteImages: () => this.mode,
    pullHost: () => this.host,
    authority: async () => undefined,
    probe: async (host) => {
      this.asked.push(host);
      return this.found;
    },
    intervalMs: 15_000,
    events: { record: ({ type, reason }) => void this.events.push(`${type} ${reason}`) },
    clock: this.clock,
  });

  async turn(): Promise<number | undefined> {
    return (await this.#reconcile("main", new AbortController().signal)).requeueAfterMs;
  }

  /** The next `count` probes, each when it is due. */
  async turns(count: number, found: Probe): Promise<void> {
    this.found = found;
    for (let i = 0; i < count; i++) {
      await this.clock.advance(15_000);
      await this.turn();
    }
  }

  get said(): readonly string[] {
    return this.writes.map((one) => one?.status ?? "gone");
  }
}

describe("the condition Reachable of a CacheRegistry (simulated)", () => {
  it("is written when it changes, and never else", async () => {
    const stage = new Stage();
    await stage.turns(20, UP);
    expect(stage.said).to.deep.equal(["True"]);
    await stage.turns(1, REFUSED);
    expect(stage.said).to.deep.equal(["True"]);
    await stage.turns(20, REFUSED);
    expect(stage.said).to.deep.equal(["True", "False"]);
    await stage.turns(20, UP);
    expect(stage.said).to.deep.equal(["True", "False", "True"]);
    expect(stage.events).to.deep.equal(["Warning Unreachable", "Normal Reachable"]);
    expect(new Set(stage.asked)).to.deep.equal(new Set(["cache.example"]));
  });

  it("is looked for every 15 s, however often something happens", async () => {
    const stage = new Stage();
    expect(await stage.turn()).to.equal(15_000);
    for (let i = 0; i < 100; i++) expect(await stage.turn()).to.equal(15_000);
    await stage.clock.advance(5_000);
    expect(await stage.turn()).to.equal(10_000);
    expect(stage.asked).to.have.length(1);
  });

  it("goes when nothing is rewritten any more, and nobody is asked then", async () => {
    const stage = new Stage();
    await stage.turns(1, UP);
    for (const stop of [{ mode: "off" } as const, { rules: [] }, { rules: [rule({ rewrite: "Never" })] }]) {
      Object.assign(stage, { mode: "labelled", rules: [rule()] });
      await stage.turns(1, UP);
      const { length } = stage.asked;
      Object.assign(stage, stop);
      for (let i = 0; i < 3; i++) expect(await stage.turn()).to.equal(undefined);
      expect(stage.said.slice(-2)).to.deep.equal(["True", "gone"]);
      expect(stage.asked).to.have.length(length);
    }
    expect(stage.registry.status?.conditions?.map(({ type }) => type)).to.deep.equal(["Ready"]);
  });

  it("begins anew for another host, and for a namesake", async () => {
    for (const change of [
      { host: "other.example" },
      { registry: { ...new Stage().registry, metadata: { ...new Stage().registry.metadata, uid: "2" } } },
    ]) {
      const stage = new Stage();
      await stage.turns(1, REFUSED);
      Object.assign(stage, change);
      await stage.turn();
      expect(stage.asked, "at once").to.have.length(2);
      expect(stage.said, "one failure each").to.deep.equal([]);
    }
  });

  it("speaks of the generation that it was found of", async () => {
    const stage = new Stage();
    await stage.turns(1, UP);
    stage.registry = { ...stage.registry, metadata: { ...stage.registry.metadata, generation: 7 } };
    await stage.turns(1, UP);
    expect(stage.writes.map((one) => one?.observedGeneration)).to.deep.equal([1, 7]);
    expect(new Set(stage.writes.map((one) => one?.lastTransitionTime)).size).to.equal(1);
  });

  it("is nothing that the reconciler of registries writes, nor a reason for it to write", async () => {
    const stage = new Stage();
    const written: (readonly string[] | undefined)[] = [];
    const reconcile = cacheRegistryReconciler({
      client: {
        applyStatus: async (_resource, object) => {
          const { status } = object as unknown as CacheRegistryObject;
          written.push(status?.conditions?.map(({ type }) => type));
          const kept = stage.registry.status?.conditions?.filter(({ type }) => type === "Reachable") ?? [];
          const conditions = [...(status?.conditions ?? []), ...kept]; // another field manager's
          stage.registry = { ...stage.registry, status: { ...status, conditions } };
          return object;
        },
        mergePatch: async () => expect.fail("it is held already"),
      },
      registries: { get: () => stage.registry, list: () => [stage.registry] },
      rules: { get: () => undefined, list: () => [] },
      plans: { view: () => expect.fail("there is no provider") },
      providers: new Map(),
      events: { record: () => undefined },
      clock: stage.clock,
      log: silentLog,
      intervals: { pendingMs: 1, healthyMs: 1, unhealthyMs: 1, driftMs: 1, patienceMs: 1 },
    });
    const pass = () => reconcile("main", new AbortController().signal);
    stage.registry = { ...stage.registry, metadata: { ...stage.registry.metadata, finalizers: [FINALIZER] } };
    await stage.turns(1, UP);
    await pass();
    expect(written).to.deep.equal([["Ready"]]);
    for (const found of [UP, REFUSED, REFUSED, UP]) {
      await stage.turns(1, found);
      await pass();
    }
    expect(stage.said).to.include("False");
    expect(written).to.have.length(1);
  });
});
