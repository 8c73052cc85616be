import { expect } from "chai";
import {
  decideConfig,
  notedRule,
  RENDERED_ANNOTATION,
  RULES_ANNOTATION,
  renderedBy,
  renderedMark,
  rolloutHash,
  rulesNote,
} from "../../core/product/rendered.ts";

const A = { a: 1, b: [2] };
const B = { a: 2 };
const WHAT = 'sync in ConfigMap "zot"';

describe("a part of somebody's configuration that is ours", () => {
  const wanted = { registry: "main", section: A, rules: "r" };
  const marked = (section: object | undefined, rules = "r", registry = "main") => ({
    [RENDERED_ANNOTATION]: renderedMark(registry, section as typeof A) ?? "",
    [RULES_ANNOTATION]: rules,
  });
  const cases: readonly [string, Parameters<typeof decideConfig>[0], Parameters<typeof decideConfig>[1], object][] = [
    [
      "is written where there is none",
      { section: undefined, annotations: {} },
      wanted,
      { do: "write", drifted: false },
    ],
    ["is left alone as it should be", { section: { b: [2], a: 1 }, annotations: marked(A) }, wanted, { do: "nothing" }],
    [
      "is written when something else is wanted",
      { section: B, annotations: marked(B) },
      wanted,
      { do: "write", drifted: false },
    ],
    [
      "is written again when it was changed",
      { section: B, annotations: marked(A) },
      wanted,
      { do: "write", drifted: true },
    ],
    [
      "is written again when it was removed",
      { section: undefined, annotations: marked(A) },
      wanted,
      { do: "write", drifted: true },
    ],
    ["is taken over when it says the same", { section: A, annotations: {} }, wanted, { do: "mark" }],
    ["has its rules noted anew", { section: A, annotations: marked(A, "older") }, wanted, { do: "mark" }],
    [
      "goes when nothing is wanted",
      { section: A, annotations: marked(A) },
      { ...wanted, section: undefined, rules: "" },
      { do: "write", drifted: false },
    ],
    [
      "is not made for nothing",
      { section: undefined, annotations: {} },
      { ...wanted, section: undefined, rules: "" },
      { do: "nothing" },
    ],
    [
      "is another's, and nothing is wanted: left alone",
      { section: B, annotations: {} },
      { ...wanted, section: undefined, rules: "" },
      { do: "nothing" },
    ],
  ];
  for (const [name, found, want, step] of cases)
    it(name, () => expect(decideConfig(found, want, "Correct", WHAT)).to.deep.equal(step));

  it("is never written over another's", () => {
    const step = decideConfig({ section: B, annotations: {} }, wanted, "Correct", WHAT);
    expect(step).to.deep.include({ do: "report", reason: "ForeignRule" });
    const other = decideConfig({ section: B, annotations: marked(B, "r", "other") }, wanted, "Correct", WHAT);
    expect(other).to.deep.include({ do: "report", reason: "ForeignRule" });
    expect(other.do === "report" && other.message).to.contain('CacheRegistry "other"');
  });

  it("is only reported with driftPolicy Report", () => {
    expect(decideConfig({ section: B, annotations: marked(A) }, wanted, "Report", WHAT)).to.deep.include({
      reason: "Drifted",
    });
    expect(decideConfig({ section: B, annotations: marked(B) }, wanted, "Report", WHAT)).to.deep.equal({
      do: "write",
      drifted: false,
    });
  });
});

describe("whose a rendered configuration is", () => {
  const cases: readonly [string | undefined, string | undefined][] = [
    [undefined, undefined],
    [renderedMark("main", A), "main"],
    [renderedMark("zot.example.com", A), "zot.example.com"],
    ["main:", "main"],
    ["main", "main"], // what somebody cut short is still nobody else's
  ];
  for (const [mark, owner] of cases) {
    it(`is said by its mark: ${mark}`, () =>
      expect(renderedBy(mark === undefined ? {} : { [RENDERED_ANNOTATION]: mark })).to.equal(owner));
  }
});

describe("the note of rendered rules", () => {
  const rule = (uid: string, generation = 1) => ({ metadata: { uid, generation } });
  it("knows each rule at its generation", () => {
    const note = rulesNote([{ rule: rule("a", 3) }, { rule: rule("b"), beaten: "winner.example" }]);
    expect(notedRule(note, rule("a", 3))).to.deep.equal({ kind: "current" });
    expect(notedRule(note, rule("a", 4))).to.deep.equal({ kind: "older" });
    expect(notedRule(note, rule("b"))).to.deep.equal({ kind: "beaten", by: "winner.example" });
    expect(notedRule(note, rule("c"))).to.deep.equal({ kind: "absent" });
    expect(notedRule(undefined, rule("a"))).to.deep.equal({ kind: "absent" });
  });
  it("fits into an annotation for 2,000 rules", () => {
    const rules = Array.from({ length: 2_000 }, (_, index) => ({
      rule: rule(`00000000-0000-0000-0000-${index}`, index),
    }));
    expect(rulesNote(rules).length).to.be.lessThan(40_000);
  });
});

describe("what Pods are rolled by", () => {
  it("changes with our part, with the time of writing and with credentials", () => {
    const hashes = [
      rolloutHash(A, "t", { k: "v" }),
      rolloutHash(B, "t", { k: "v" }),
      rolloutHash(A, "u", { k: "v" }),
      rolloutHash(A, "t", { k: "w" }),
      rolloutHash(A, "t", undefined),
    ];
    expect(new Set(hashes)).to.have.lengthOf(hashes.length);
    expect(rolloutHash({ b: [2], a: 1 }, "t", { k: "v" })).to.equal(hashes[0]);
  });
});
