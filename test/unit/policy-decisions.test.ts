import { expect } from "chai";
import { conclude, signedAuthorities, staticVerdict } from "../../core/policy/evaluate.ts";
import { governs, type MatchSubject } from "../../core/policy/match.ts";
import { selects } from "../../core/policy/selector.ts";
import type { AuthorityOutcome } from "../../core/policy/types.ts";
import type { Authority, EvaluatedPolicy, MatchResource } from "../../crds/types.ts";

import { keyed, PEM, policy } from "../support/admission.ts";

const IMAGES = [{ glob: "**" }];
const outcomes = (...entries: readonly (readonly [number, AuthorityOutcome])[]) => new Map(entries);
const authorities = (...list: Authority[]) => policy({ images: IMAGES, authorities: list });
const judged = (block: EvaluatedPolicy, ...list: Authority[]) =>
  policy({ images: IMAGES, authorities: list, policy: { type: "cue", data: "x", ...block } });

const NO = { kind: "failed", message: "no signatures found" } as const;
const DOWN = { kind: "undecided", message: "connection refused" } as const;
const YES = { kind: "matched", match: { signatures: [{ id: "1" }] } } as const;
const PASS: Authority = { name: "fixed", static: { action: "pass" } };
const FAIL: Authority = { static: { action: "fail", message: "ask first" } };
const KEY: Authority = { key: { data: PEM } };

describe("the verdict of a policy's authorities", () => {
  const two = authorities({ name: "a", ...KEY }, { name: "b", ...KEY });

  it("is a pass when one of them matched, whatever became of the others", () => {
    const verdict = { kind: "pass", matches: { b: { signatures: [{ id: "1" }] } } };
    for (const other of [NO, DOWN]) {
      expect(conclude(two, "img", outcomes([0, other], [1, YES]))).to.deep.equal(verdict);
    }
  });

  it("is a failure with every reason when none did, and undecided when one could not be asked", () => {
    expect(conclude(two, "img", outcomes([0, NO], [1, NO]))).to.deep.equal({
      kind: "fail",
      reasons: [
        "signature key validation failed for authority a for img: no signatures found",
        "signature key validation failed for authority b for img: no signatures found",
      ],
    });
    expect(conclude(two, "img", outcomes([0, NO], [1, DOWN])).kind).to.equal("undecided");
    expect(conclude(two, "img", new Map()).kind).to.equal("fail");
  });

  it("speaks of what was asked: signatures or attestations, keys or certificates", () => {
    const mixed = policy(
      {
        images: IMAGES,
        authorities: [
          { ...KEY, attestations: [{ name: "sbom", predicateType: "https://x" }] },
          { name: "k", keyless: { trustRootRef: "corp", identities: [{ issuer: "i", subject: "s" }] } },
          FAIL,
        ],
      },
      { trustedRoot: () => "{}" },
    );
    const failed = conclude(mixed, "img", outcomes([0, NO], [1, NO]));
    expect(failed.kind === "fail" && failed.reasons).to.deep.equal([
      "attestation key validation failed for authority authority-0 for img: no signatures found",
      "signature keyless validation failed for authority k for img: no signatures found",
      "disallowed by static policy: ask first",
    ]);
  });

  it("joins what two authorities of one name found, and lets no failing namesake overwrite a match", () => {
    const twins = authorities({ name: "a", ...KEY }, { name: "a", ...KEY }, { name: "a", static: { action: "pass" } });
    const attested = {
      kind: "matched",
      match: { attestations: { s: [{ id: "2", predicateType: "t", digest: `sha256:${"a".repeat(64)}` }] } },
    } as const;
    expect(conclude(twins, "img", outcomes([0, YES], [1, attested]))).to.deep.equal({
      kind: "pass",
      matches: { a: { ...YES.match, ...attested.match, static: true } },
    });
    expect(conclude(twins, "img", outcomes([0, YES], [1, NO])).kind).to.equal("pass");
  });

  it("knows an authority by any name", () => {
    for (const name of ["__proto__", "constructor", "toString"]) {
      const verdict = conclude(authorities({ name, ...KEY }), "img", outcomes([0, YES]));
      expect(verdict.kind === "pass" && Object.entries(verdict.matches)).to.deep.equal([[name, YES.match]]);
    }
  });

  it("with a spec.policy waits for everything: a policy may forbid as well as demand", () => {
    const forbids = judged({}, { name: "a", ...KEY }, { name: "b", ...KEY });
    expect(conclude(forbids, "img", outcomes([0, YES], [1, NO])).kind).to.equal("pass");
    expect(conclude(forbids, "img", outcomes([0, YES], [1, DOWN])).kind).to.equal("undecided");
    const keyless = { identities: [{ issuer: "https://issuer", subject: "a" }], trustRootRef: "gone" };
    const unusable = judged({}, { name: "a", ...KEY }, { name: "b", keyless });
    expect(conclude(unusable, "img", outcomes([0, YES])).kind).to.equal("undecided");
    expect(conclude({ ...unusable, condition: undefined } as never, "img", outcomes([0, YES])).kind).to.equal("pass");
  });

  it("without authorities leaves it to spec.policy, and passes nothing without one", () => {
    expect(conclude(judged({}), "img", new Map())).to.deep.equal({ kind: "pass", matches: {} });
    expect(staticVerdict(judged({}))).to.deep.equal({ kind: "pass", matches: {} });
    expect(staticVerdict(authorities())?.kind).to.equal("undecided");
  });
});

describe("a verdict that needs no registry", () => {
  const cases: readonly (readonly [string, ReturnType<typeof policy>, string | undefined])[] = [
    ["a static pass", authorities(PASS), "pass"],
    ["a static pass beside a key", authorities(PASS, KEY), "pass"],
    ["a static failure", authorities(FAIL), "fail"],
    ["a static failure beside a key: asked", authorities(FAIL, KEY), undefined],
    ["a key: asked", keyed, undefined],
    ["a static pass and a spec.policy", judged({}, PASS), "pass"],
    ["a static pass, a key and a spec.policy that sees both: asked", judged({}, PASS, KEY), undefined],
    ["a static pass and the image's configuration: asked", judged({ fetchConfigFile: true }, PASS), undefined],
  ];
  for (const [name, compiled, kind] of cases) {
    it(name, () => expect(staticVerdict(compiled)?.kind).to.equal(kind));
  }

  it("has policy-controller's words, a trailing space without a message included", () => {
    expect(staticVerdict(authorities(FAIL))).to.deep.equal({
      kind: "fail",
      reasons: ["disallowed by static policy: ask first"],
    });
    expect(staticVerdict(authorities({ static: { action: "fail" } }))).to.deep.equal({
      kind: "fail",
      reasons: ["disallowed by static policy: "],
    });
  });

  it("is not asked of static authorities", () => {
    expect(signedAuthorities(authorities(PASS, KEY, FAIL)).map(({ index }) => index)).to.deep.equal([1]);
  });
});

describe("match", () => {
  const pod: MatchSubject = { group: "", version: "v1", resource: "pods", labels: { env: "prod" } };
  const deployment: MatchSubject = { group: "apps", version: "v1", resource: "deployments", labels: {} };
  const prod = { matchLabels: { env: "prod" } };
  /** Absent fields are any; policy-controller's never matched anything. */
  const cases: readonly (readonly [match: MatchResource[], pod: boolean, deployment: boolean])[] = [
    [[], true, true],
    [[{}], true, true],
    [[{ resource: "pods" }], true, false],
    [[{ resource: "deployments", version: "v1" }], false, true],
    [[{ group: "apps" }], false, true],
    [[{ group: "*" }], true, true],
    [[{ group: "" }], true, false],
    [[{ group: "", version: "v1", resource: "pods" }], true, false],
    [[{ version: "*" }], true, true],
    [[{ version: "" }], true, true],
    [[{ version: "v1beta1" }], false, false],
    [[{ group: "apps", version: "*", resource: "deployments" }], false, true],
    [[{ group: "apps", resource: "pods" }], false, false],
    [[{ resource: "pods", selector: prod }], true, false],
    [[{ version: "v1", selector: prod }], true, false],
    [[{ resource: "pods", selector: { matchLabels: { env: "test" } } }], false, false],
    [[{ resource: "pods" }, { resource: "deployments" }], true, true],
    // A selector that cannot be read applies: it must not make room.
    [[{ resource: "pods", selector: { matchExpressions: [{ key: "a", operator: "Near" }] } }], true, false],
  ];
  for (const [match, onPod, onDeployment] of cases) {
    it(JSON.stringify(match), () => {
      const compiled = policy({ images: IMAGES, authorities: [KEY], match });
      expect([governs(compiled, pod), governs(compiled, deployment)]).to.deep.equal([onPod, onDeployment]);
    });
  }
});

describe("label selectors", () => {
  const cases = [
    [{ matchLabels: { a: "1" } }, { a: "1" }, true],
    [{ matchLabels: { a: "1" } }, { a: "2" }, false],
    [{ matchLabels: { a: "1", b: "2" } }, { a: "1" }, false],
    [{ matchExpressions: [{ key: "a", operator: "In", values: ["1"] }] }, { a: "1" }, true],
    [{ matchExpressions: [{ key: "a", operator: "In", values: ["1"] }] }, {}, false],
    [{ matchExpressions: [{ key: "a", operator: "NotIn", values: ["1"] }] }, {}, true],
    [{ matchExpressions: [{ key: "a", operator: "NotIn", values: ["1"] }] }, { a: "1" }, false],
    [{ matchExpressions: [{ key: "a", operator: "Exists" }] }, {}, false],
    [{ matchExpressions: [{ key: "a", operator: "DoesNotExist" }] }, {}, true],
    [{ matchExpressions: [{ key: "a", operator: "Near" }] }, {}, undefined],
    [{}, { a: "1" }, true],
  ] as const;
  for (const [selector, labels, expected] of cases) {
    it(`${JSON.stringify(selector)} over ${JSON.stringify(labels)}: ${expected}`, () => {
      expect(selects(selector, labels)).to.equal(expected);
    });
  }
});
