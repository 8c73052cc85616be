import { generateKeyPairSync } from "node:crypto";
import { expect } from "chai";
import { parseReference } from "../../core/image/reference.ts";
import { keepLastGood, type SecretLookup } from "../../core/policy/compile.ts";
import { conclude, staticVerdict } from "../../core/policy/evaluate.ts";
import { policiesFor } from "../../core/policy/match.ts";
import { selects } from "../../core/policy/selector.ts";
import type { AuthorityOutcome } from "../../core/policy/types.ts";
import type { ClusterImagePolicySpec } from "../../crds/types.ts";

import { keyed, PEM, policy } from "../support/admission.ts";

describe("compiling a policy", () => {
  it("takes several keys from one PEM, and inlines a Secret's", () => {
    const secrets: SecretLookup = (name) => (name === "s" ? { "cosign.pub": Buffer.from(PEM + PEM) } : undefined);
    const compiled = policy(
      { images: [{ glob: "**" }], authorities: [{ key: { secretRef: { name: "s" } } }] },
      secrets,
    );
    const [authority] = compiled.authorities;
    expect(compiled.problem).to.equal(undefined);
    expect(authority?.kind === "key" && authority.keys).to.deep.equal([PEM, PEM]);
  });

  it("has another hash when a Secret's key changes, and the same when only status moved", () => {
    const spec = { images: [{ glob: "**" }], authorities: [{ key: { secretRef: { name: "s" } } }] };
    const other = generateKeyPairSync("ed25519").publicKey.export({ type: "spki", format: "pem" }).toString();
    const a = policy(spec, () => ({ k: Buffer.from(PEM) }));
    const b = policy(spec, () => ({ k: Buffer.from(other) }));
    const moved = policy(spec, () => ({ k: Buffer.from(PEM) }), { resourceVersion: "99" });
    expect(a.hash).to.not.equal(b.hash);
    expect(a.hash).to.equal(moved.hash);
  });

  const problems: readonly (readonly [name: string, spec: ClusterImagePolicySpec, problem: RegExp])[] = [
    [
      "a missing Secret",
      { images: [{ glob: "**" }], authorities: [{ key: { secretRef: { name: "gone" } } }] },
      /secret "gone"/,
    ],
    ["no authority", { images: [{ glob: "**" }], authorities: [] }, /authorities is empty/],
    ["a PEM that is no key", { images: [{ glob: "**" }], authorities: [{ key: { data: "x" } }] }, /no PEM block/],
    ["a bad glob", { images: [{ glob: "[" }], authorities: [{ key: { data: PEM } }] }, /invalid glob/],
    [
      "CUE, not evaluated yet",
      { images: [{ glob: "**" }], authorities: [{ key: { data: PEM } }], policy: { type: "cue", data: "x" } },
      /spec.policy/,
    ],
  ];
  for (const [name, spec, problem] of problems) {
    it(`keeps ${name} as a problem, matches and refuses`, () => {
      const compiled = policy(spec);
      expect(compiled.problem).to.match(problem);
      expect(staticVerdict(compiled)?.kind).to.equal("undecided");
      expect(
        policiesFor([compiled], parseReference("quay.io/a/b"), {
          group: "",
          version: "v1",
          resource: "pods",
          labels: {},
        }),
      ).to.have.length(1);
    });
  }

  it("never passes what this version does not evaluate", () => {
    for (const authority of [
      { keyless: { identities: [{ issuer: "i", subject: "s" }] } },
      { key: { data: PEM }, attestations: [{ name: "a", predicateType: "https://x" }] },
      { key: { data: PEM }, ctlog: { url: "https://rekor" } },
      { key: { data: PEM }, rfc3161timestamp: { trustRootRef: "t" } },
      { key: { kms: "awskms:///x" } },
    ]) {
      const compiled = policy({ images: [{ glob: "**" }], authorities: [authority] });
      expect(staticVerdict(compiled)?.kind, JSON.stringify(authority)).to.equal("fail");
    }
  });

  it("keeps the last good form only while the spec is the same", () => {
    const bad = policy({ images: [{ glob: "ghcr.io/**" }], authorities: [{ key: { secretRef: { name: "x" } } }] });
    expect(keepLastGood(keyed, bad)).to.equal(keyed);
    expect(keepLastGood({ ...keyed, generation: 0 }, bad)).to.equal(bad);
    expect(keepLastGood({ ...keyed, uid: "other" }, bad)).to.equal(bad);
    expect(keepLastGood(undefined, bad)).to.equal(bad);
  });
});

const outcomes = (...entries: readonly (readonly [number, AuthorityOutcome])[]) => new Map(entries);

describe("evaluating a policy", () => {
  it("passes when one authority matched, and says why when none did", () => {
    const two = policy({
      images: [{ glob: "**" }],
      authorities: [
        { name: "a", key: { data: PEM } },
        { name: "b", key: { data: PEM } },
      ],
    });
    const no = { kind: "failed", message: "no signatures found" } as const;
    const yes = { kind: "matched", signatures: [{ id: "1" }] } as const;
    expect(conclude(two, "img", outcomes([0, no], [1, yes]))).to.deep.equal({
      kind: "pass",
      facts: { b: [{ id: "1" }] },
    });
    const failed = conclude(two, "img", outcomes([0, no], [1, no]));
    expect(failed.kind === "fail" && failed.reasons).to.deep.equal([
      "signature key validation failed for authority a for img: no signatures found",
      "signature key validation failed for authority b for img: no signatures found",
    ]);
    expect(conclude(two, "img", outcomes([0, no], [1, { kind: "undecided", message: "down" }])).kind).to.equal(
      "undecided",
    );
    expect(conclude(two, "img", new Map()).kind).to.equal("fail");
  });

  it("does not let a failing namesake overwrite a match", () => {
    const twins = policy({
      images: [{ glob: "**" }],
      authorities: [
        { name: "a", key: { data: PEM } },
        { name: "a", key: { data: PEM } },
      ],
    });
    const verdict = conclude(
      twins,
      "img",
      outcomes([0, { kind: "matched", signatures: [{ id: "1" }] }], [1, { kind: "failed", message: "no" }]),
    );
    expect(verdict.kind).to.equal("pass");
  });

  it("settles static authorities without a registry", () => {
    const pass = policy({
      images: [{ glob: "**" }],
      authorities: [{ static: { action: "pass" } }, { key: { data: PEM } }],
    });
    const fail = policy({ images: [{ glob: "**" }], authorities: [{ static: { action: "fail", message: "no" } }] });
    expect(staticVerdict(pass)?.kind).to.equal("pass");
    expect(staticVerdict(fail)).to.deep.equal({ kind: "fail", reasons: ["disallowed by static policy: no"] });
    expect(staticVerdict(keyed)).to.equal(undefined);
  });
});

describe("label selectors", () => {
  const cases = [
    [{ matchLabels: { a: "1" } }, { a: "1" }, true],
    [{ matchLabels: { a: "1" } }, { a: "2" }, false],
    [{ matchExpressions: [{ key: "a", operator: "In", values: ["1"] }] }, { a: "1" }, true],
    [{ matchExpressions: [{ key: "a", operator: "NotIn", values: ["1"] }] }, {}, true],
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
