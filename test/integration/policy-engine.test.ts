import { expect } from "chai";
import { type ClosablePolicyEngine, createPolicyEngine } from "../../adapters/policy/engine.ts";
import type { EvaluationInput, Evaluator } from "../../core/policy/types.ts";
import { enginePath } from "../support/policy-engine.ts";

const STATEMENT = {
  _type: "https://in-toto.io/Statement/v0.1",
  predicateType: "https://cosign.sigstore.dev/attestation/v1",
  subject: [{ name: "registry.example.com/app", digest: { sha256: "ab" } }],
  predicate: { Data: "foo", Timestamp: "2024-01-01T00:00:00Z" },
};
const COMPLIANT = { kind: "compliant" };

const signal = () => AbortSignal.timeout(60_000);
const document = (value: unknown): EvaluationInput => ({ kind: "document", json: JSON.stringify(value) });
const rejected = (message: string) => ({ kind: "rejected", message });

interface Case {
  readonly name: string;
  readonly evaluator: Evaluator;
  readonly input: EvaluationInput;
  readonly want: object;
}

const CONFIG = document({ config: { "linux/amd64": { config: { User: "root" } } } });
const NOT_COMPLIANT = "policy is not compliant for query 'isCompliant = data.sigstore.isCompliant'";
const custom: EvaluationInput = { kind: "statement", predicateType: "custom", json: JSON.stringify(STATEMENT) };

const CASES: readonly Case[] = [
  {
    name: "CUE accepts",
    evaluator: { language: "cue", source: 'predicate: Data: "foo"' },
    input: custom,
    want: COMPLIANT,
  },
  {
    name: "CUE quotes the path of a conflict",
    evaluator: { language: "cue", source: 'config: "linux/amd64": config: User: "65532"' },
    input: CONFIG,
    want: rejected(
      'failed to evaluate the policy with error: config."linux/amd64".config.User: conflicting values "root" and "65532"',
    ),
  },
  {
    name: "CUE names what does not compile",
    evaluator: { language: "cue", source: "a: b" },
    input: CONFIG,
    want: rejected('failed to compile the cue policy with error: a: reference "b" not found'),
  },
  {
    name: "Rego, syntax v0, accepts",
    evaluator: { language: "rego", source: 'package sigstore\nisCompliant { input.predicate.Data == "foo" }' },
    input: custom,
    want: COMPLIANT,
  },
  {
    name: "Rego rejects",
    evaluator: { language: "rego", source: "package sigstore\nisCompliant { input.absent }" },
    input: custom,
    want: rejected(NOT_COMPLIANT),
  },
  {
    name: "Rego gives its own error",
    evaluator: {
      language: "rego",
      source: 'package sigstore\nisCompliant[r] { r := {"result": false, "error": "runs as root"} }',
    },
    input: CONFIG,
    want: rejected(`${NOT_COMPLIANT} with errors: runs as root`),
  },
  {
    name: "Rego that accepts with a warning rejects",
    evaluator: {
      language: "rego",
      source: 'package sigstore\nisCompliant[r] { r := {"result": true, "warning": "soon too old"} }',
    },
    input: CONFIG,
    want: rejected("warning: soon too old"),
  },
  {
    name: "CEL accepts",
    evaluator: { language: "cel", source: 'predicate.Data == "foo" && subject[0].digest.sha256 == "ab"' },
    input: custom,
    want: COMPLIANT,
  },
  {
    name: "CEL gives a message",
    evaluator: { language: "cel", source: 'config["linux/amd64"].config.User == "root" ? "runs as root" : ""' },
    input: CONFIG,
    want: rejected("runs as root"),
  },
  {
    name: "CEL says which field includes what it reads",
    evaluator: { language: "cel", source: "spec.replicas < 3" },
    input: CONFIG,
    want: rejected(
      'failed to evaluate the policy with error: no such attribute(s): spec: the input has no "spec": set `includeSpec: true` in spec.policy',
    ),
  },
  {
    name: "a statement of another type is not judged",
    evaluator: { language: "cel", source: "true" },
    input: { ...custom, predicateType: "vuln" },
    want: rejected(
      'the predicate type of the statement is "https://cosign.sigstore.dev/attestation/v1", and the policy asks for "https://cosign.sigstore.dev/attestation/vuln/v1"',
    ),
  },
  {
    name: "a statement without a wanted type is not judged as a document",
    evaluator: { language: "cel", source: "true" },
    input: { ...custom, predicateType: "" },
    want: rejected("missing predicate type"),
  },
];

describe("policy engine", function () {
  this.timeout(120_000);
  let engine: ClosablePolicyEngine;

  before(async function () {
    this.timeout(0);
    engine = createPolicyEngine({ path: await enginePath(), evaluationMs: 20_000 });
    await engine.warm();
  });

  after(() => engine.close());

  for (const { name, evaluator, input, want } of CASES)
    it(name, async () => {
      expect(await engine.evaluate(evaluator, input, signal())).to.deep.equal(want);
      expect(await engine.evaluate(evaluator, input, signal()), "remembered").to.deep.equal(want);
    });

  it("checks that policies compile", async () => {
    expect(await engine.check({ language: "cue", source: "a: string" }, signal())).to.equal(undefined);
    expect(
      await engine.check({ language: "rego", source: "package sigstore\nisCompliant { http.send({}) }" }, signal()),
    )
      .to.be.a("string")
      .that.includes("undefined function http.send");
    expect(await engine.check({ language: "cel", source: "1 +" }, signal())).to.include(
      "failed to compile the cel policy",
    );
  });

  it("remembers no verdict that the clock may change", async () => {
    const evaluator: Evaluator = {
      language: "rego",
      source: 'package sigstore\nisCompliant[r] { r := {"result": false, "error": sprintf("%d", [time.now_ns()])} }',
    };
    const first = await engine.evaluate(evaluator, CONFIG, signal());
    expect(await engine.evaluate(evaluator, CONFIG, signal())).not.to.deep.equal(first);
    expect(first)
      .to.have.property("message")
      .that.matches(/with errors: 1[0-9]{18}$/);
  });

  it("evaluates many at once and mixes nothing up", async () => {
    const wanted = Array.from({ length: 200 }, (_, n) => n);
    const verdicts = await Promise.all(
      wanted.map((n) => {
        const language = (["cue", "rego", "cel"] as const)[n % 3] ?? "cue";
        const source = {
          cue: `n: ${n % 2 === 0 ? n : -1}`,
          rego: `package sigstore\nisCompliant { input.n == ${n % 2 === 0 ? n : -1} }`,
          cel: `self.n == ${n % 2 === 0 ? n : -1}`,
        }[language];
        return engine.evaluate({ language, source }, document({ n }), signal());
      }),
    );
    expect(verdicts.map(({ kind }) => kind)).to.deep.equal(wanted.map((n) => (n % 2 === 0 ? "compliant" : "rejected")));
  });
});
