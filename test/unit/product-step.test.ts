import { expect } from "chai";
import fc from "fast-check";
import { MARK } from "../../core/product/artifactregistry.ts";
import {
  decideStep,
  isOurs,
  type RemoteIdentity,
  type RemotePolicy,
  type RemoteRule,
} from "../../core/product/step.ts";

const POLICY = { adoption: "IfIdentical", drift: "Correct" } as const;
const MADE = "2030-01-01T00:00:00Z";
const OURS: RemoteIdentity = { remoteId: "hub", remoteCreationTime: MADE };

function found(change: Partial<RemoteRule> = {}): RemoteRule {
  return { id: "hub", createdAt: MADE, differences: [], state: "settled", ...change };
}

const CREDENTIALS = { field: "credentials", correctable: true };
const SOURCE = { field: "source", correctable: false };

describe("what is done about a rule in its product", () => {
  it("makes what is not there", () => {
    expect(decideStep(undefined, {}, POLICY)).to.deep.equal({ do: "create", drift: [] });
    expect(decideStep(undefined, { remoteId: "hub" }, POLICY)).to.deep.equal({ do: "create", drift: [] });
  });

  it("makes again what is gone, or only says so", () => {
    expect(decideStep(undefined, OURS, POLICY)).to.deep.equal({ do: "create", drift: ["*"] });
    expect(decideStep(undefined, OURS, { ...POLICY, drift: "Report" })).to.deep.include({
      do: "report",
      reason: "Drifted",
      drift: ["*"],
    });
  });

  it("leaves what is as declared alone", () => {
    expect(decideStep(found(), OURS, POLICY)).to.deep.equal({ do: "nothing", adopted: false });
    expect(decideStep(found({ id: "HUB" }), OURS, POLICY)).to.deep.equal({ do: "nothing", adopted: false });
  });

  it("corrects what differs, or only says so", () => {
    const differs = found({ differences: [CREDENTIALS] });
    expect(decideStep(differs, OURS, POLICY)).to.deep.equal({ do: "update", drift: ["credentials"] });
    const report = decideStep(differs, OURS, { ...POLICY, drift: "Report" });
    expect(report).to.include({ do: "report", reason: "Drifted" });
  });

  it("never corrects a part of what can't all be corrected", () => {
    const step = decideStep(found({ differences: [CREDENTIALS, SOURCE] }), OURS, POLICY);
    expect(step).to.include({ do: "report", reason: "ImmutableChange" });
    expect(step.do === "report" && step.message)
      .to.contain("(source)")
      .and.not.contain("(credentials");
  });

  it("takes over a rule that says the same, unless it must not", () => {
    expect(decideStep(found(), {}, POLICY)).to.deep.equal({ do: "nothing", adopted: true });
    const never = decideStep(found(), {}, { ...POLICY, adoption: "Never" });
    expect(never).to.include({ do: "report", reason: "ForeignRule" });
    expect(never.do === "report" && never.message).to.contain("adoptionPolicy: IfIdentical");
  });

  it("knows its own rule from one of the same name that was made after it", () => {
    const successor = found({ createdAt: "2031-01-01T00:00:00Z", differences: [CREDENTIALS] });
    expect(decideStep(successor, OURS, POLICY)).to.include({ do: "report", reason: "ForeignRule" });
  });

  it("takes the answer to a creation that was lost for what it is: ours, also where nothing is taken over", () => {
    const noted = { remoteId: "hub" };
    const policy = { ...POLICY, adoption: "Never" } as const;
    expect(decideStep(found(), noted, policy)).to.deep.equal({ do: "nothing", adopted: false });
    expect(decideStep(found({ differences: [CREDENTIALS] }), noted, policy)).to.include({ reason: "ForeignRule" });
  });

  it("believes the product's own mark before anything else", () => {
    expect(decideStep(found({ mark: "ours", differences: [CREDENTIALS] }), {}, POLICY)).to.include({ do: "update" });
    const another = decideStep(found({ mark: "foreign" }), OURS, POLICY);
    expect(another).to.include({ do: "report", reason: "ForeignRule" });
  });

  it("says of a marked rule how it would be taken over, in a sentence", () => {
    const said = (change: Partial<RemoteRule>, adoption: RemotePolicy["adoption"] = "IfIdentical") => {
      const step = decideStep(found({ mark: "foreign", ...change }), {}, { ...POLICY, adoption });
      return step.do === "report" ? step.message : "";
    };
    const labels = `the labels ${MARK.managedBy} and ${MARK.owner}`;
    expect(said({})).to.equal(
      `the registry already has "hub", which is marked as another's; take ${labels} away there to take it over, or delete it there, or give this rule another name`,
    );
    expect(said({}, "Never")).to.equal(
      `the registry already has "hub", which is marked as another's; take ${labels} away there and set adoptionPolicy: IfIdentical to take it over, or delete it there, or give this rule another name`,
    );
    expect(said({ differences: [CREDENTIALS, SOURCE] })).to.equal(
      `the registry already has "hub", which is marked as another's and differs in credentials, source; delete it there, or give this rule another name; it is never overwritten`,
    );
  });

  it("says of a rule without a mark that Entrepot did not make it", () => {
    const said = (change: Partial<RemoteRule>) => {
      const step = decideStep(found(change), {}, { ...POLICY, adoption: "Never" });
      return step.do === "report" ? step.message : "";
    };
    expect(said({})).to.equal(
      'the registry already has "hub", which Entrepot did not make; set adoptionPolicy: IfIdentical to take it over, or delete it there, or give this rule another name',
    );
    expect(said({ differences: [SOURCE] })).to.equal(
      'the registry already has "hub", which Entrepot did not make and which differs in source; delete it there, or give this rule another name; it is never overwritten',
    );
  });

  it("waits for an operation under way, and says how a failed one ended", () => {
    expect(decideStep(found({ state: "changing", differences: [CREDENTIALS] }), OURS, POLICY)).to.deep.equal({
      do: "wait",
    });
    const failed = decideStep(found({ state: "failed", problem: "quota" }), OURS, POLICY);
    expect(failed).to.include({ do: "report", reason: "RemoteError" });
    expect(failed.do === "report" && failed.message).to.contain("quota");
  });

  it("writes to nothing that is not ours, and writes nothing where drift is only reported", () => {
    const difference = fc.record({ field: fc.constantFrom("a", "b", "c"), correctable: fc.boolean() });
    const remote = fc.option(
      fc.record(
        {
          id: fc.constantFrom("hub", "HUB", "other"),
          createdAt: fc.constantFrom(MADE, "2031-01-01T00:00:00Z"),
          mark: fc.constantFrom("ours" as const, "foreign" as const),
          differences: fc.array(difference, { maxLength: 3 }),
          state: fc.constantFrom("settled" as const, "changing" as const, "failed" as const),
        },
        { requiredKeys: ["id", "differences", "state"] },
      ),
      { nil: undefined },
    );
    const known = fc.record(
      { remoteId: fc.constantFrom("hub", "other"), remoteCreationTime: fc.constantFrom(MADE, "2031-01-01T00:00:00Z") },
      { requiredKeys: [] },
    );
    const policy = fc.record({
      adoption: fc.constantFrom("IfIdentical" as const, "Never" as const),
      drift: fc.constantFrom("Correct" as const, "Report" as const),
    });
    fc.assert(
      fc.property(remote, known, policy, (one, memory, rules) => {
        const step = decideStep(one, memory, rules);
        if (step.do === "create") expect(one).to.equal(undefined);
        if (step.do === "update") {
          if (one === undefined) throw new Error("nothing to update");
          expect(isOurs(one, memory)).to.equal(true);
          expect(rules.drift).to.equal("Correct");
          expect(one.differences.every(({ correctable }) => correctable)).to.equal(true);
        }
        if (step.do === "nothing") expect(one?.differences).to.deep.equal([]);
        if (rules.drift === "Report" && memory.remoteId !== undefined && memory.remoteCreationTime !== undefined)
          expect(step.do).to.not.be.oneOf(["create", "update"]);
      }),
      { numRuns: 2_000 },
    );
  });
});
