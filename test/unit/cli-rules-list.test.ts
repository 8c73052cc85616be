// What cannot be had from a real API server at will: missing rights, pages that no longer belong together, odd numbers of rules.
import { expect } from "chai";
import { KubeError } from "../../adapters/kube/errors.ts";
import type { KubeObject, Resource } from "../../adapters/kube/types.ts";
import { answerRules } from "../../cli/rules.ts";
import type { RulesCommand } from "../../cli/rules-arguments.ts";
import { type RuleSample, SAMPLE_TIME, sampleCondition, sampleSpec, sampleStatus } from "../support/rule-samples.ts";

const NOW = new Date("2026-01-01T01:00:00Z");
const COMMAND: RulesCommand = { kind: "rules", notReady: false, all: false, output: "text", cluster: {} };

interface World {
  readonly rules?: readonly RuleSample[];
  readonly registries?: readonly string[];
  /** What a read of that kind fails with, so many times. */
  readonly failures?: Partial<Record<string, { readonly error: KubeError; times: number }>>;
}

function clientOf({ rules = [], registries = [], failures = {} }: World) {
  const metadata = (name: string) => ({ name, uid: name, generation: 1, creationTimestamp: SAMPLE_TIME });
  const objects: Readonly<Record<string, readonly object[]>> = {
    CacheRule: rules.map((sample) => ({
      metadata: metadata(sample.name),
      spec: sampleSpec(sample),
      status: sampleStatus(sample),
    })),
    CacheRegistry: registries.map((name) => ({
      metadata: metadata(name),
      spec: { azure: {} },
      status: { conditions: [sampleCondition("Ready", { reason: "Ready" })] },
    })),
  };
  const read = (kind: string) => {
    const failure = failures[kind];
    if (failure === undefined || failure.times === 0) return;
    failure.times -= 1;
    throw failure.error;
  };
  return {
    async get<T extends KubeObject>({ kind }: Resource, name: string): Promise<T> {
      read(kind);
      const found = objects[kind]?.find((one) => (one as KubeObject).metadata.name === name);
      if (found === undefined) throw new KubeError("NOT_FOUND", `get ${kind} "${name}": not found`);
      return found as T;
    },
    async *pages<T extends KubeObject>({ kind }: Resource) {
      const items = (objects[kind] ?? []) as T[];
      yield { items: items.slice(0, 1), resourceVersion: "1" };
      read(kind);
      yield { items: items.slice(1), resourceVersion: "1" };
    },
  };
}

const READY = { reason: "Ready", message: "m" };
const NO = { status: "False", reason: "Conflict", message: "why it is not" } as const;
const answer = (world: World, command: Partial<RulesCommand> = {}, width?: number) =>
  answerRules(clientOf(world), { ...COMMAND, ...command }, { now: NOW, width });
const many = (count: number, sample: Partial<RuleSample>): readonly RuleSample[] =>
  Array.from({ length: count }, (_, n) => ({ name: `rule-${n}`, registry: "r", ...sample }));

describe("kubectl entrepot rules, with little to go on", () => {
  it("says that there is nothing", async () =>
    expect(await answer({})).to.deep.equal({ text: "No CacheRegistry and no CacheRule.", holds: true }));

  it("begins the list again when its pages no longer belong together, and counts nothing twice", async () => {
    const gone = () => ({ error: new KubeError("GONE", "too old"), times: 1 });
    const world = { registries: ["r"], rules: many(3, { ready: READY }), failures: { CacheRule: gone() } };
    expect((await answer(world)).text).to.include("Ready (3)");
    const always = { ...world, failures: { CacheRule: { ...gone(), times: 2 } } };
    const thrown = await answer(always).catch((error: unknown) => error);
    expect(thrown).to.be.instanceOf(KubeError).and.to.have.property("code", "GONE");
  });

  it("goes on without the right to read CacheRegistries, and says so", async () => {
    const error = new KubeError("FORBIDDEN", "list cacheregistries: you may not");
    const { text } = await answer({
      rules: many(2, { ready: READY }),
      failures: { CacheRegistry: { error, times: 9 } },
    });
    expect(text).to.include("you may not").and.include("Ready (2)").and.not.include("RegistryNotFound");
  });

  it("does not go on without the right to read rules", async () => {
    const error = new KubeError("FORBIDDEN", "list cacherules: you may not");
    const thrown = await answer({ failures: { CacheRule: { error, times: 9 } } }).catch((caught: unknown) => caught);
    expect(thrown).to.equal(error);
  });

  it("tells of rules whose registry is not there", async () => {
    const { text } = await answer({ rules: many(1, { ready: { ...NO, reason: "RegistryNotFound" } }) });
    expect(text)
      .to.match(/^r +- +RegistryNotFound +1 +0 /m)
      .and.include("there is no such CacheRegistry");
  });
});

describe("kubectl entrepot rules, with much", () => {
  it("tells of one trouble of a thousand rules once", async () => {
    const { text, holds } = await answer(
      { registries: ["r"], rules: many(1000, { ready: { ...NO, reason: "SignInFailed" } }) },
      { notReady: true },
      80,
    );
    expect(holds).to.equal(false);
    expect(text.match(/why it is not/g)).to.have.length(1);
    expect(text).to.include("1000 rules of r: SignInFailed, since 1h").and.include("and 995 more");
    expect(text.split("\n")).to.have.length.below(10);
  });

  it("tells of twenty different troubles, counts the rest, and leaves none out with --all", async () => {
    const rules = many(50, {}).map((rule, n) => ({ ...rule, ready: { ...NO, message: `why ${n}.` } }));
    const { text } = await answer({ registries: ["r"], rules });
    expect(text.match(/why \d+[.]/g)).to.have.length(20);
    expect(text).to.include("  and 30 more: --all lists them");
    const { text: all } = await answer({ registries: ["r"], rules }, { all: true });
    expect(all.match(/why \d+[.]/g)).to.have.length(50);
  });

  it("folds messages to the width of the terminal", async () => {
    const message = "a message of many words that says what to do about it ".repeat(5).trim();
    const rules = many(1, { ready: { ...NO, message } });
    const { text } = await answer({ registries: ["r"], rules }, {}, 60);
    const folded = text.slice(text.indexOf("      a message")).split("\n");
    expect(folded.length).to.be.greaterThan(4);
    for (const line of folded) expect(line).to.have.length.at.most(60);
  });

  it("does not fail a check for what is suspended, or served from the cache alone", async () => {
    const rules = [
      { name: "off", registry: "r", suspend: true, ready: { ...NO, reason: "Suspended" } },
      { name: "stale", registry: "r", ready: { ...READY, reason: "ServingFromCache", message: "upstream is away" } },
    ];
    expect((await answer({ registries: ["r"], rules }, { notReady: true })).holds).to.equal(true);
    const { text } = await answer({ registries: ["r"], rules });
    expect(text).to.include("Suspended (1)\n  off");
    expect(text).to.include("stale of r: served, but ServingFromCache, since 1h").and.include("upstream is away");
    expect(text).to.match(/^r +azure +Ready +2 +1 \(1 degraded\) +- +- +1 Suspended$/m);
  });
});

describe("kubectl entrepot rules NAME", () => {
  const rule: RuleSample = {
    name: "a",
    registry: "r",
    ready: NO,
    conditions: [sampleCondition("Synced", { status: "False", reason: "Drifted", observedGeneration: 0 })],
    status: {
      conflictsWith: "b",
      remoteId: "/subscriptions/s/a",
      remoteCreationTime: "2025-01-01",
      adopted: true,
      drift: { detected: "2026-01-01T00:30:00Z", fields: ["*"] },
    },
  };

  it("says what stands in the product, and what is of an older generation", async () => {
    const { text } = await answer({ registries: ["r"], rules: [rule] }, { name: "a" });
    expect(text).to.include("Remote id   /subscriptions/s/a, made 2025-01-01, there before and taken over");
    expect(text).to.include("Drift       NOW, 30m ago (2026-01-01T00:30:00Z): it was gone");
    expect(text).to.include("of generation 0, which is not the last");
    expect(text).to.include("Registry    r (ready)");
    expect(text.indexOf("Ready False")).to.be.lessThan(text.indexOf("Synced False"));
  });

  it("notes what is not there or may not be read, and goes on", async () => {
    const error = new KubeError("FORBIDDEN", "list events: you may not");
    const { text } = await answer({ rules: [rule], failures: { Event: { error, times: 1 } } }, { name: "a" });
    expect(text)
      .to.include("CacheRule b holds the target")
      .and.include("its rival: get CacheRule")
      .and.include("you may not");
    expect(text).to.include("its CacheRegistry: get CacheRegistry");
  });

  it("gives programs the same as JSON", async () => {
    const { text } = await answer({ registries: ["r"], rules: [rule] }, { name: "a", output: "json" });
    expect(JSON.parse(text)).to.deep.include({ name: "a", state: "notReady", adopted: true, generation: 1 });
  });
});
