import { expect } from "chai";
import { parseCommand } from "../../cli/cache-arguments.ts";
import { firstOf, fold, labelled, table } from "../../cli/rules-layout.ts";
import { sizeText } from "../../cli/rules-show-text.ts";
import { rowOf, standingOf } from "../../cli/rules-standing.ts";
import type { CacheRuleObject } from "../../crds/index.ts";
import { type RuleSample, SAMPLE_TIME, sampleCondition, sampleSpec, sampleStatus } from "../support/rule-samples.ts";

const RULES = { kind: "rules", notReady: false, all: false, output: "text", cluster: {} };

const fails = (...args: string[]) => {
  try {
    return `no error: ${JSON.stringify(parseCommand(args))}`;
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : "";
  }
};

describe("the arguments of kubectl entrepot rules", () => {
  it("are all optional", () => expect(parseCommand(["rules"])).to.deep.equal(RULES));

  it("narrow, widen and format", () => {
    const args = ["rules", "--registry", "r", "--not-ready", "--all", "-o", "json", "--context=c"];
    const cluster = { context: "c" };
    const wanted = { ...RULES, registry: "r", notReady: true, all: true, output: "json", cluster };
    expect(parseCommand(args)).to.deep.equal(wanted);
  });

  for (const name of ["nginx", "cacherule/nginx", "cacherules/nginx", "crule/nginx", "cacherule.entrepot.dev/nginx"])
    it(`take ${name} for one rule`, () =>
      expect(parseCommand(["rules", name, "-o", "wide"])).to.deep.equal({ ...RULES, name: "nginx", output: "wide" }));

  it("are refused with what would do", () => {
    expect(fails("rules", "a", "b")).to.include("one rule by its NAME");
    expect(fails("rules", "cacherule/")).to.include("one rule by its NAME");
    expect(fails("rules", "-o", "yaml")).to.include("wide or json");
    expect(fails("rules", "--registry=")).to.include("name of a CacheRegistry");
    expect(fails("rules", "a", "--registry", "r")).to.include("leave --registry out");
    expect(fails("rules", "--ready")).to.include("--ready");
  });

  it("ask for help as the other commands do", () =>
    expect(parseCommand(["rules", "-h"])).to.deep.equal({ kind: "help" }));
});

describe("the layout of rules", () => {
  it("folds between words to the width of a terminal", () => {
    const text = "one two three four five six seven eight nine ten eleven twelve";
    const lines = fold(text, 44, "    ");
    expect(lines).to.have.length(2);
    for (const line of lines)
      expect(line)
        .to.match(/^ {4}\S/)
        .and.to.have.length.at.most(44);
    expect(lines.map((line) => line.trim()).join(" ")).to.equal(text);
  });

  it("folds nothing where there is no terminal", () => expect(fold("a ".repeat(500), undefined)).to.have.length(1));

  it("breaks no word, for it may be one to copy", () => {
    const word = "x".repeat(100);
    expect(fold(`a ${word} b`, 40)).to.deep.equal(["a", word, "b"]);
  });

  it("keeps text beside its label", () =>
    expect(labelled("Note", "a b", undefined)).to.deep.equal(["Note        a b"]));

  it("aligns columns and leaves no blanks at the end", () =>
    expect(table(["A", "LONG", "C"], [["value", "x", ""]], "  ")).to.deep.equal(["  A       LONG   C", "  value   x"]));

  it("counts what it leaves out", () => {
    expect(firstOf(["a", "b", "c"], 2)).to.equal("a, b and 1 more");
    expect(firstOf(["a"], 2)).to.equal("a");
  });

  it("tells sizes as people do", () => {
    expect([0, 1023, 1024, 24_536_678, 3 * 1024 ** 5].map(sizeText)).to.deep.equal([
      "0 B",
      "1023 B",
      "1.0 KiB",
      "23.4 MiB",
      "3072.0 TiB",
    ]);
  });
});

const ruleOf = (sample: Partial<RuleSample>, metadata: object = {}): CacheRuleObject => {
  const whole = { name: "a", registry: "r", ...sample };
  const status = sampleStatus(whole);
  return {
    apiVersion: "entrepot.dev/v1alpha1",
    kind: "CacheRule",
    metadata: {
      name: "a",
      uid: "u",
      generation: 1,
      resourceVersion: "1",
      creationTimestamp: SAMPLE_TIME,
      ...metadata,
    },
    spec: sampleSpec(whole),
    ...(status && { status }),
  };
};
const READY = { reason: "Ready", message: "m" };
const NO = { status: "False", reason: "Conflict", message: "why" } as const;

describe("how a rule is", () => {
  it("is ready", () => expect(standingOf(ruleOf({ ready: READY }))).to.include({ state: "ready" }));

  it("is not, with the reason and since when", () =>
    expect(standingOf(ruleOf({ ready: NO }))).to.deep.equal({
      state: "notReady",
      reason: "Conflict",
      message: "why",
      since: SAMPLE_TIME,
    }));

  it("is not known from a status of an older generation", () => {
    const standing = standingOf(ruleOf({ ready: READY }, { generation: 2 }));
    expect(standing).to.include({ state: "notReady", reason: "ChangeNotSeen" });
    expect(standing.message).to.include("generation 2").and.include("knows 1");
  });

  it("is not known before anybody looked", () =>
    expect(standingOf(ruleOf({}))).to.include({ state: "notReady", reason: "NotSeen", since: SAMPLE_TIME }));

  it("is on its way out", () =>
    expect(standingOf(ruleOf({ ready: READY }, { deletionTimestamp: SAMPLE_TIME }))).to.include({
      state: "notReady",
      reason: "Deleting",
    }));

  it("is suspended only where its spec says so", () => {
    const ready = { ...NO, reason: "Suspended" };
    expect(standingOf(ruleOf({ ready, suspend: true })).state).to.equal("suspended");
    expect(standingOf(ruleOf({ ready })).state).to.equal("notReady");
  });

  it("is degraded where it is served from the cache alone", () =>
    expect(standingOf(ruleOf({ ready: { ...READY, reason: "ServingFromCache" } })).state).to.equal("degraded"));

  it("is degraded where the upstream takes its credentials no more", () => {
    const health = sampleCondition("CredentialsHealthy", { status: "False", reason: "Unhealthy", message: "renew" });
    expect(standingOf(ruleOf({ ready: READY, conditions: [health] }))).to.include({
      state: "degraded",
      reason: "CredentialsUnhealthy",
      message: "renew",
    });
    const unknown = { ...health, status: "Unknown" as const };
    expect(standingOf(ruleOf({ ready: READY, conditions: [unknown] })).state).to.equal("ready");
  });

  it("speaks to no terminal in its own tongue", () => {
    const row = rowOf(ruleOf({ ready: { ...NO, message: "\u001b[2Jgone" } }));
    expect(row.message).to.equal("\\u{1b}[2Jgone");
  });

  it("is kept in few bytes", () => {
    const conditions = ["Accepted", "Synced"].map((type) => sampleCondition(type, { message: "x".repeat(32_768) }));
    const row = rowOf(ruleOf({ ready: { ...NO, message: "x".repeat(32_768) }, conditions }));
    expect(JSON.stringify(row)).to.have.length.below(2_500);
  });
});
