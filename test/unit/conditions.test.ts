import { expect } from "chai";
import { type Condition, conditionsEqual, findCondition, setCondition } from "../../core/conditions.ts";

const early = new Date("2030-01-01T00:00:00.500Z");
const late = new Date("2030-01-02T00:00:00Z");
const ready = { type: "Ready", status: "True", reason: "Served", message: "all well", observedGeneration: 1 } as const;

describe("setCondition", () => {
  it("appends a type that was not there, with the time in whole seconds", () => {
    expect(setCondition(undefined, ready, early)).to.eql([{ ...ready, lastTransitionTime: "2030-01-01T00:00:00Z" }]);
  });

  it("keeps the transition time while the status stays, whatever else changes", () => {
    const before = setCondition([], ready, early);
    const after = setCondition(before, { ...ready, reason: "Other", message: "still", observedGeneration: 2 }, late);
    expect(after).to.eql([
      {
        ...ready,
        reason: "Other",
        message: "still",
        observedGeneration: 2,
        lastTransitionTime: "2030-01-01T00:00:00Z",
      },
    ]);
  });

  it("moves the transition time when the status changes", () => {
    const after = setCondition(setCondition([], ready, early), { ...ready, status: "False" }, late);
    expect(findCondition(after, "Ready")?.lastTransitionTime).to.equal("2030-01-02T00:00:00Z");
  });

  it("leaves the other conditions, their order and its input alone", () => {
    const accepted: Condition = { ...ready, type: "Accepted", lastTransitionTime: "2029-01-01T00:00:00Z" };
    const before = Object.freeze([accepted, ...setCondition([], ready, early)]);
    const after = setCondition(before, { ...ready, status: "Unknown" }, late);
    expect(after.map(({ type }) => type)).to.eql(["Accepted", "Ready"]);
    expect(after[0]).to.equal(accepted);
    expect(before[1]?.status).to.equal("True");
  });

  it("cuts a message that the API would refuse", () => {
    const [condition] = setCondition([], { ...ready, message: "x".repeat(40_000) }, early);
    expect(condition?.message).to.have.length(32_768);
  });
});

describe("conditionsEqual", () => {
  const a = setCondition(setCondition([], ready, early), { ...ready, type: "Accepted" }, early);

  it("does not mind the order", () => {
    expect(conditionsEqual(a, [...a].reverse())).to.equal(true);
    expect(conditionsEqual(undefined, [])).to.equal(true);
  });

  const changes: readonly Partial<Condition>[] = [
    { status: "False" },
    { reason: "Other" },
    { message: "other" },
    { observedGeneration: 2 },
    { lastTransitionTime: "2031-01-01T00:00:00Z" },
    { type: "Other" },
  ];
  for (const change of changes) {
    it(`sees a changed ${Object.keys(change)[0]}`, () => {
      expect(
        conditionsEqual(
          a,
          a.map((condition, index) => (index === 0 ? { ...condition, ...change } : condition)),
        ),
      ).to.equal(false);
    });
  }

  it("sees a condition more or less", () => {
    expect(conditionsEqual(a, a.slice(1))).to.equal(false);
    expect(conditionsEqual(a.slice(1), a)).to.equal(false);
  });
});
