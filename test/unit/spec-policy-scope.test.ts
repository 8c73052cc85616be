// What an UPDATE can bring under a spec.policy without a new image: another label, or a resize (a fake: test/support/scripted-admission.ts).
import { expect } from "chai";
import type { AdmissionRequest } from "../../core/admission/request.ts";
import type { EvaluationInput, EvaluationResult, Evaluator } from "../../core/policy/types.ts";
import { APP, type Json, nothing, Outside, replica, workload } from "../support/scripted-admission.ts";

const CONDITION = { type: "cue", data: "x" };
const PROD = { tier: "prod" };
const DEV = { tier: "dev" };

/** What is refused: a document in which these words stand. */
const refusing =
  (words: string) =>
  (_evaluator: Evaluator, { json }: EvaluationInput): EvaluationResult =>
    json.includes(words) ? { kind: "rejected", message: `${words} is forbidden` } : { kind: "compliant" };

const forProd = (resource: string, more: object, group = "") => ({
  match: [{ group, resource, version: "v1", selector: { matchLabels: PROD } }],
  policy: { ...CONDITION, ...more },
});

const pod = (labels: object, hostNetwork = true): Json => {
  const object = workload("Pod", "p", APP, { labels });
  return { ...object, spec: { ...(object["spec"] as object), hostNetwork } };
};

describe("an UPDATE of labels that brings an object under a policy", () => {
  let outside: Outside;
  beforeEach(() => {
    outside = new Outside();
    outside.evaluation = refusing('"hostNetwork":true');
  });

  it("is judged by a spec.policy that reads the spec alone", async () => {
    const webhook = await replica(outside, { spec: forProd("pods", { includeSpec: true }) });
    const { response } = await webhook.send("UPDATE", pod(PROD), { oldObject: pod(DEV) });
    expect(response.status?.message).to.include("failed policy: signed").and.to.include("is forbidden");
    const right = await webhook.send("UPDATE", pod(PROD, false), { oldObject: pod(DEV, false) });
    expect(right.response.allowed).to.equal(true);
  });

  it("is judged by one that reads the kind alone", async () => {
    outside.evaluation = refusing('"kind":"Deployment"');
    const spec = forProd("deployments", { includeTypeMeta: true }, "apps");
    const webhook = await replica(outside, { spec });
    const deployment = (labels: object) => workload("Deployment", "d", APP, { labels });
    const { response } = await webhook.send("UPDATE", deployment(PROD), { oldObject: deployment(DEV) });
    expect(response.status?.message).to.include("is forbidden");
  });

  it("asks nobody where the policy governed it before, does so no more, or never did", async () => {
    const data = { "no-match-policy": "allow" };
    const webhook = await replica(outside, { spec: forProd("pods", { includeSpec: true }), data });
    for (const [before, after] of [
      [PROD, { ...PROD, a: "b" }],
      [PROD, DEV],
      [DEV, {}],
    ] as const) {
      const { response } = await webhook.send("UPDATE", pod(after), { oldObject: pod(before) });
      expect(response.allowed, JSON.stringify(after)).to.equal(true);
    }
    expect(outside.asked).to.deep.equal(nothing);
  });

  it("asks nobody where the policy, or what it asks of the image, is about the image alone", async () => {
    outside.outcome = () => ({ kind: "failed", message: "no signatures found" });
    outside.evaluation = () => ({ kind: "rejected", message: "no match" });
    const { match } = forProd("pods", {});
    for (const spec of [{ match }, forProd("pods", {}), forProd("pods", { fetchConfigFile: true })]) {
      const webhook = await replica(outside, { spec });
      const { response } = await webhook.send("UPDATE", pod(PROD), { oldObject: pod(DEV) });
      expect(response.allowed).to.equal(true);
    }
    expect(outside.asked).to.deep.equal(nothing);
  });
});

describe("a resize of a Pod", () => {
  const sized = (memory: string): Json => {
    const object = workload("Pod", "p", APP);
    return { ...object, spec: { containers: [{ name: "app", image: APP, resources: { limits: { memory } } }] } };
  };
  const resize: AdmissionRequest = {
    ...{ uid: "r", operation: "UPDATE", dryRun: false, namespace: "team", name: "p", group: "", version: "v1" },
    ...{ kind: "Pod", resource: "pods", subResource: "resize", object: sized("8Gi"), oldObject: sized("1Gi") },
  };

  it("is judged by a spec.policy that reads the spec", async () => {
    const outside = new Outside();
    outside.evaluation = refusing('"8Gi"');
    const webhook = await replica(outside, { spec: { policy: { ...CONDITION, includeSpec: true } } });
    const response = await webhook.ask("/validations", resize);
    expect(response.status?.message).to.include("failed policy: signed").and.to.include("is forbidden");
    const smaller = { ...resize, object: sized("512Mi") };
    expect((await webhook.ask("/validations", smaller)).allowed).to.equal(true);
  });

  it("asks nobody where none reads the spec, and is refused for its image by none", async () => {
    const outside = new Outside();
    outside.outcome = () => ({ kind: "failed", message: "no signatures found" });
    const webhook = await replica(outside, { spec: { policy: { ...CONDITION, includeObjectMeta: true } } });
    expect((await webhook.ask("/validations", resize)).allowed).to.equal(true);
    expect(outside.asked).to.deep.equal(nothing);
    const reading = await replica(outside, { spec: { policy: { ...CONDITION, includeSpec: true } } });
    expect((await reading.ask("/validations", resize)).allowed).to.equal(true);
    expect(outside.asked).to.include({ verify: 1, evaluate: 1 });
  });
});
