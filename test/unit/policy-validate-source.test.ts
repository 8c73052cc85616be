import { expect } from "chai";
import { formatErrors } from "../../core/policy/fielderror.ts";
import { validateClusterImagePolicy } from "../../core/policy/validate.ts";
import { compileErrors, type FoundSource, findSources, uncheckedWarnings } from "../../core/policy/validate-source.ts";
import type { Attestation, ClusterImagePolicySpec, EvaluatedPolicy } from "../../crds/types.ts";

import { PEM } from "../support/admission.ts";
import { cpuMs } from "../support/cpu-time.ts";

const base = (attestations: Attestation[] = []): ClusterImagePolicySpec => ({
  images: [{ glob: "**" }],
  authorities: [{ static: { action: "pass" } }, { key: { data: PEM }, attestations }],
});
const attestation = (name: string, policy: EvaluatedPolicy): Attestation => ({
  name,
  predicateType: "https://x",
  policy,
});
const REGO = "# ours\npackage sigstore # as cosign asks\n\ndefault isCompliant = false";
const MAPS: Readonly<Record<string, Record<string, string>>> = { m: { cue: "b: 2" } };
const lookup = { systemNamespace: "cosign-system", configMaps: (name: string) => MAPS[name] };
const remote = { url: "https://example.com", sha256sum: "a".repeat(64) };

describe("the sources that are compiled at admission", () => {
  it("are what is written in the policy, and what is in ConfigMaps", () => {
    const spec = {
      ...base([
        attestation("scan", { type: "rego", data: REGO }),
        attestation("sbom", { type: "cue", configMapRef: { name: "m", key: "cue" } }),
        { name: "bare", predicateType: "https://x" },
      ]),
      policy: { type: "cel", data: "true" },
    };
    expect(findSources(spec, lookup)).to.deep.equal({
      warnings: [],
      sources: [
        { evaluator: { language: "cel", source: "true" }, path: "spec.policy.data" },
        {
          evaluator: { language: "rego", source: REGO },
          path: "spec.authorities[1].attestations.policy.data",
          attestation: "scan",
        },
        {
          evaluator: { language: "cue", source: "b: 2" },
          path: "spec.authorities[1].attestations.policy.configMapRef",
          attestation: "sbom",
        },
      ],
    });
  });

  const none: readonly (readonly [string, EvaluatedPolicy])[] = [
    ["lies at a URL", { type: "cue", remote }],
    ["is in an unknown language", { type: "lua", data: "x" }],
    ["has two sources", { type: "cue", data: "x", remote }],
    ["has no source", { type: "cue" }],
    ["names half a ConfigMap", { type: "cue", configMapRef: { name: "m" } }],
  ];
  for (const [what, policy] of none) {
    it(`are not what ${what}`, () => {
      expect(findSources({ ...base(), policy }, lookup)).to.deep.equal({ sources: [], warnings: [] });
    });
  }

  for (const [data, warned] of [
    [REGO, false],
    ["package sigstore\r\nisCompliant { true }", false],
    ["package other\nisCompliant { true }", true],
    ["package sigstore.policies\nisCompliant { true }", true],
    ["package sigstore\ncompliant { true }", true],
  ] as const) {
    it(`${warned ? "warn of" : "take"} ${JSON.stringify(data)}`, () => {
      const { warnings } = findSources({ ...base(), policy: { type: "rego", data } }, lookup);
      const text = formatErrors(warnings, "warning");
      if (warned) expect(text).to.match(/^invalid rego policy: spec\.policy\.data\nit is asked for data\.sigstore/);
      else expect(text).to.equal(undefined);
    });
  }

  it("are read in one pass, whatever is in them", () => {
    for (const data of ["\n".repeat(1_000_000), " ".repeat(1_000_000), "package ".repeat(100_000)]) {
      const found = () => findSources({ ...base(), policy: { type: "rego", data } }, lookup).warnings;
      expect(found()).to.have.length(1);
      expect(cpuMs(found)).to.be.lessThan(500);
    }
  });

  const REFUSES = "until it is there, the policy refuses every image that it matches";
  const warned: readonly (readonly [NonNullable<EvaluatedPolicy["configMapRef"]>, sources: number, warning: string])[] =
    [
      [
        { name: "gone", key: "cue" },
        0,
        `invalid value: gone: spec.policy.configMapRef.name\nthere is no such ConfigMap in cosign-system: ${REFUSES}`,
      ],
      [
        { name: "m", key: "constructor" },
        0,
        `invalid value: constructor: spec.policy.configMapRef.key\nConfigMap m has no such key: ${REFUSES}`,
      ],
      [
        { name: "m", key: "cue", namespace: "team" },
        1,
        "invalid value: team: spec.policy.configMapRef.namespace\nnot used: the ConfigMap is looked for in cosign-system",
      ],
    ];
  for (const [configMapRef, sources, warning] of warned) {
    it(`warn of ${JSON.stringify(configMapRef)}`, () => {
      const found = findSources({ ...base(), policy: { type: "cue", configMapRef } }, lookup);
      expect(found.sources).to.have.length(sources);
      expect(formatErrors(found.warnings, "warning")).to.equal(warning);
      expect(formatErrors(found.warnings, "error")).to.equal(undefined);
    });
  }
});

describe("what compiling brought to light", () => {
  const ofSpec: FoundSource = { evaluator: { language: "cue", source: "{" }, path: "spec.policy.data" };
  const ofScan: FoundSource = {
    evaluator: { language: "rego", source: "{" },
    path: "spec.authorities[1].attestations.policy.data",
    attestation: "scan",
  };

  it("refuses, with the engine's words", () => {
    const broken = [
      ...compileErrors(ofSpec, "expected '}', found 'EOF'"),
      ...compileErrors(ofScan, "rego_parse_error"),
    ];
    const { errors, warnings } = validateClusterImagePolicy(
      { spec: { ...base(), mode: "garbage" } },
      { systemNamespace: "cosign-system", failOnEmptyAuthorities: true },
      broken,
    );
    expect(errors).to.equal(
      [
        "invalid cue policy: spec.policy.data",
        "expected '}', found 'EOF'",
        "invalid rego policy: spec.authorities[1].attestations.policy.data",
        "attestation scan: rego_parse_error",
        "invalid value: garbage: spec.mode",
        "unsupported mode",
      ].join("\n"),
    );
    expect(warnings).to.deep.equal([]);
  });

  it("warns where nobody could judge", () => {
    const { errors, warnings } = validateClusterImagePolicy(
      { spec: base() },
      { systemNamespace: "cosign-system", failOnEmptyAuthorities: true },
      uncheckedWarnings(ofSpec, "the policy engine did not answer within 5 s"),
    );
    expect(errors).to.equal(undefined);
    expect(warnings).to.deep.equal([
      "the cue policy could not be compiled now: spec.policy.data",
      "the policy engine did not answer within 5 s",
    ]);
  });
});
