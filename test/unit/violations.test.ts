import { expect } from "chai";
import type { JudgedImage } from "../../core/admission/conclude.ts";
import { planAdmission } from "../../core/admission/plan.ts";
import { violations } from "../../core/admission/violations.ts";
import { NO_NAMES } from "../../core/cachenames/names.ts";
import type { PolicyVerdict } from "../../core/policy/evaluate.ts";
import type { CompiledPolicy } from "../../core/policy/types.ts";

import { DIGEST, keyed, pod, podKind, request } from "../support/admission.ts";

const WARN: CompiledPolicy = { ...keyed, name: "w", mode: "warn" };
const PASS: PolicyVerdict = { kind: "pass", matches: {} };
const fail = (...reasons: string[]): PolicyVerdict => ({ kind: "fail", reasons });

function judged(...verdicts: (readonly [CompiledPolicy, PolicyVerdict])[][]): readonly JudgedImage[] {
  const images = verdicts.map((_, index) => `ghcr.io/a/b${index}:v1`);
  const { tasks } = planAdmission(request(pod(...images)), podKind, [keyed], NO_NAMES);
  return tasks.map((task, index) => ({
    task,
    digest: DIGEST,
    verdicts: (verdicts[index] ?? []).map(([policy, verdict]) => ({ policy, verdict })),
  }));
}

const refused = { errors: "failed policy: p: spec.containers[0].image\nx", warnings: [] };

describe("violations", () => {
  it("name policy, image, field and reason", () => {
    expect(violations(judged([[keyed, fail("no signatures found")]]), refused)).to.deep.equal([
      {
        reason: "PolicyViolation",
        policy: "p",
        note: `ghcr.io/a/b0@${DIGEST} in spec.containers[0].image fails policy p: no signatures found`,
      },
    ]);
  });

  it("are one for each policy, however many images fail it", () => {
    const images = judged(
      [
        [keyed, fail("a")],
        [WARN, fail("c")],
      ],
      [[keyed, fail("b")]],
      [[keyed, PASS]],
    );
    const found = violations(images, { ...refused, warnings: ["failed policy: w"] });
    expect(found.map(({ reason, policy }) => [reason, policy])).to.deep.equal([
      ["PolicyViolation", "p"],
      ["PolicyWarning", "w"],
    ]);
    expect(found[0]?.note).to.include("(and 1 more)").and.to.match(/: a$/);
    expect(found[1]?.note).to.include("fails policy w, which only warns: c");
  });

  it("are told of what no policy is to blame for, in the user's words", () => {
    const none = { errors: "no matching policies: spec.containers[0].image\nquay.io/a/b:v1", warnings: [] };
    expect(violations(judged([]), none)).to.deep.equal([
      { reason: "PolicyViolation", policy: "", note: "no matching policies: spec.containers[0].image quay.io/a/b:v1" },
    ]);
    expect(violations(judged([[WARN, fail("c")]]), none).map(({ policy }) => policy)).to.deep.equal(["w", ""]);
    expect(violations(judged([]), { warnings: ["no matching policies: x"] })).to.deep.equal([
      { reason: "PolicyWarning", policy: "", note: "no matching policies: x" },
    ]);
  });

  it("are none where all is well", () => {
    expect(violations(judged([[keyed, PASS]]), { warnings: [] })).to.deep.equal([]);
  });

  it("are one line and short, whatever a registry answered", () => {
    const [first] = violations(judged([[keyed, fail(`a\n\t${"ä ".repeat(5_000)}`)]]), refused);
    expect(first?.note.length).to.be.lessThan(900);
    expect(first?.note).to.not.match(/[\n\t]/);
  });
});
