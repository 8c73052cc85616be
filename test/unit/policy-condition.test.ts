import { expect } from "chai";
import {
  type ConditionSubject,
  conditionInput,
  conditionReason,
  conditionRejection,
  rejection,
} from "../../core/policy/condition.ts";
import type { AuthorityMatches, ObjectCondition } from "../../core/policy/types.ts";

const NOTHING: ObjectCondition = {
  language: "cue",
  source: "x",
  fetchConfigFile: false,
  includeSpec: false,
  includeObjectMeta: false,
  includeTypeMeta: false,
};
const ALL: ObjectCondition = {
  ...NOTHING,
  fetchConfigFile: true,
  includeSpec: true,
  includeObjectMeta: true,
  includeTypeMeta: true,
};

const TEMPLATE = { metadata: { labels: { app: "a" } }, spec: { containers: [{ name: "c", image: "i" }] } };
const METADATA = { name: "x", namespace: "team", labels: { app: "a" } };

const subject = (group: string, version: string, kind: string, spec: object): ConditionSubject => ({
  group,
  version,
  kind,
  object: { metadata: METADATA, spec, status: { phase: "secret" } },
});
const input = (condition: ObjectCondition, matches: AuthorityMatches, of: ConditionSubject, config?: string): unknown =>
  JSON.parse(conditionInput(condition, matches, of, config));

const POD = subject("", "v1", "Pod", { containers: [{ name: "c" }], nodeName: "n" });

describe("the input of spec.policy", () => {
  /** What policy-controller's duck types keep of a spec, and the typemeta that it sets for all kinds but Pods. */
  const kinds: readonly (readonly [ConditionSubject, spec: object, typemeta: object])[] = [
    [POD, { containers: [{ name: "c" }], nodeName: "n" }, { kind: "Pod", apiVersion: "v1" }],
    ...["Deployment", "ReplicaSet", "StatefulSet"].map(
      (kind) =>
        [
          subject("apps", "v1", kind, { replicas: 2, selector: { matchLabels: {} }, template: TEMPLATE, paused: true }),
          { replicas: 2, selector: { matchLabels: {} }, template: TEMPLATE },
          { kind, apiVersion: "apps/v1" },
        ] as const,
    ),
    [
      subject("apps", "v1", "DaemonSet", { selector: {}, template: TEMPLATE, minReadySeconds: 3 }),
      { template: TEMPLATE },
      { kind: "DaemonSet", apiVersion: "apps/v1" },
    ],
    [
      subject("batch", "v1", "Job", { template: TEMPLATE, backoffLimit: 1 }),
      { template: TEMPLATE },
      { kind: "Job", apiVersion: "batch/v1" },
    ],
    [
      subject("batch", "v1", "CronJob", { schedule: "* * * * *", jobTemplate: { spec: { template: TEMPLATE } } }),
      { schedule: "* * * * *", jobTemplate: { spec: { template: TEMPLATE } } },
      { kind: "CronJob", apiVersion: "batch/v1" },
    ],
  ];
  for (const [of, spec, typemeta] of kinds) {
    it(`has the spec, metadata and type of a ${of.kind}`, () => {
      expect(input({ ...ALL, fetchConfigFile: false }, {}, of)).to.deep.equal({ spec, metadata: METADATA, typemeta });
    });
  }

  it("has what authorities established, by name, and nothing else unless asked", () => {
    const matches: AuthorityMatches = {
      key: { signatures: [{ id: "1" }] },
      keyless: { signatures: [{ id: "2", subject: "s", issuer: "i", githubWorkflowRef: "r" }] },
      attested: { attestations: { sbom: [{ id: "3", predicateType: "vuln", digest: `sha256:${"a".repeat(64)}` }] } },
      fixed: { static: true },
    };
    expect(input(NOTHING, matches, POD, '{"linux/amd64":{}}')).to.deep.equal({ authorityMatches: matches });
  });

  it("leaves out what is empty, as Go's omitempty does", () => expect(input(NOTHING, {}, POD)).to.deep.equal({}));

  const one = { k: { static: true } } as const;
  const parts: readonly (readonly [keyof ObjectCondition, string])[] = [
    ["fetchConfigFile", "config"],
    ["includeSpec", "spec"],
    ["includeObjectMeta", "metadata"],
    ["includeTypeMeta", "typemeta"],
  ];
  for (const [option, field] of parts) {
    it(`has ${field} for ${option} alone`, () => {
      const seen = input({ ...NOTHING, [option]: true }, one, POD, '{"linux/arm/v7":{"config":{"User":"root"}}}');
      expect(Object.keys(seen as object)).to.have.members(["authorityMatches", field]);
    });
  }

  it("has the images' configurations by platform", () => {
    const config = '{"linux/amd64":{"config":{"User":"nonroot"}}}';
    expect(input({ ...NOTHING, fetchConfigFile: true }, {}, POD, config)).to.deep.equal({ config: JSON.parse(config) });
    expect(input({ ...NOTHING, fetchConfigFile: true }, {}, POD)).to.deep.equal({});
  });

  it("does not invent fields that an object lacks", () => {
    const empty = { ...POD, object: {} };
    expect(input({ ...ALL, includeTypeMeta: false }, {}, empty)).to.deep.equal({});
    const deployment = subject("apps", "v1", "Deployment", { template: TEMPLATE });
    expect(input({ ...NOTHING, includeSpec: true }, {}, deployment)).to.deep.equal({ spec: { template: TEMPLATE } });
  });

  it("survives names that JavaScript knows", () => {
    const matches = JSON.parse('{"__proto__":{"static":true},"constructor":{"static":true}}') as AuthorityMatches;
    expect(conditionInput(NOTHING, matches, POD, undefined)).to.equal(
      '{"authorityMatches":{"__proto__":{"static":true},"constructor":{"static":true}}}',
    );
  });
});

describe("a refusal by an evaluator", () => {
  const message = "failed to evaluate the policy with error: a: conflicting values 1 and 2";
  it("has cosign's words", () => {
    expect(rejection({ language: "cue", source: "" }, "sbom", message)).to.equal(
      `failed evaluating cue policy for sbom: ${message}`,
    );
    expect(rejection({ language: "rego", source: "" }, "sbom", "policy is not compliant")).to.equal(
      "failed evaluating rego policy for type sbom: policy is not compliant",
    );
    expect(rejection({ language: "cel", source: "" }, "sbom", "false")).to.equal(
      "failed evaluating cel policy for sbom: false",
    );
    expect(conditionRejection(NOTHING, message)).to.equal(
      `failed evaluating cue policy for ClusterImagePolicy: ${message}`,
    );
  });

  it("is what is not compliant, undecided included", () => {
    expect(conditionReason(NOTHING, { kind: "compliant" })).to.equal(undefined);
    for (const kind of ["rejected", "undecided"] as const)
      expect(conditionReason(NOTHING, { kind, message: "m" })).to.equal(
        "failed evaluating cue policy for ClusterImagePolicy: m",
      );
  });
});
