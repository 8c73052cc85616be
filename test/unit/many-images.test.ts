// An object with more images than any workload has (a fake: test/support/scripted-admission.ts).
import { expect } from "chai";
import type { AdmissionRequest } from "../../core/admission/request.ts";
import { missingPullSecrets } from "../../core/rewrite/pullsecrets.ts";
import { APP, type Json, Outside, replica, workload } from "../support/scripted-admission.ts";

const PASS = [{ static: { action: "pass" } }];

function podOf(images: number): Json {
  const containers = Array.from({ length: images }, (_, index) => ({ name: `c${index}`, image: APP }));
  return { ...workload("Pod", "p", APP), spec: { containers } };
}

const requestOf = (object: Json): AdmissionRequest => ({
  ...{ uid: "r", operation: "CREATE", dryRun: false, namespace: "team", name: "p" },
  ...{ group: "", version: "v1", kind: "Pod", resource: "pods", subResource: "", object },
});

describe("an object with very many images", () => {
  it("is refused for that, before anything is asked of anyone, and one with 500 is judged", async () => {
    const outside = new Outside();
    const webhook = await replica(outside, { spec: { authorities: PASS } });
    const { response, object } = await webhook.send("CREATE", podOf(501));
    expect(response.status?.message).to.include("too many images: 501: spec").and.to.include("at most 500 images");
    expect(object.metadata.annotations).to.equal(undefined);
    expect((await webhook.send("CREATE", podOf(500))).response.allowed).to.equal(true);
    const deployment = workload("Deployment", "d", APP);
    const large = { ...deployment, spec: { template: { metadata: {}, spec: podOf(501)["spec"] } } };
    expect((await webhook.send("CREATE", large)).response.status?.message).to.include("501: spec.template.spec");
    expect(Object.values(outside.asked).some((count) => count > 0)).to.equal(false);
  });

  it("is not refused for what it had before, and judged all the same where a spec.policy sees another object", async () => {
    const outside = new Outside();
    outside.evaluation = (_evaluator, { json }) =>
      json.includes("owner") ? { kind: "compliant" } : { kind: "rejected", message: "no owner" };
    const condition = { type: "cue", data: "x", includeObjectMeta: true };
    const webhook = await replica(outside, { spec: { policy: condition, authorities: PASS } });
    const labelled = (labels: Record<string, string>): Json => {
      const pod = podOf(600);
      return { ...pod, metadata: { ...pod.metadata, labels } };
    };
    const update = async (before: Json, after: Json) =>
      (await webhook.send("UPDATE", after, { oldObject: before })).response;
    expect((await update(labelled({ owner: "a" }), labelled({ owner: "b" }))).allowed).to.equal(true);
    expect((await update(labelled({ owner: "a" }), labelled({}))).status?.message).to.include("no owner");
  });

  it("is refused as soon when an UPDATE brings them, with a spec.policy that sees another object", async () => {
    const outside = new Outside();
    const condition = { type: "cue", data: "x", includeSpec: true };
    const webhook = await replica(outside, { spec: { policy: condition, authorities: PASS } });
    const small = workload("Deployment", "d", APP);
    const large = { ...small, spec: { template: { metadata: {}, spec: podOf(501)["spec"] } } };
    const { response } = await webhook.send("UPDATE", large, { oldObject: small });
    expect(response.status?.message).to.include("too many images: 501");
    expect(outside.asked.evaluate).to.equal(0);
  });

  it("is given up with the same words for all of its evaluations, those that wait for their turn included", async () => {
    const outside = new Outside();
    const controller = new AbortController();
    outside.evaluation = async () => {
      controller.abort(new Error("the time is up"));
      throw new Error("the evaluation of a policy was given up: the time is up");
    };
    const condition = { type: "cue", data: "x", includeSpec: true };
    const webhook = await replica(outside, { spec: { policy: condition, authorities: PASS } });
    const request = requestOf(podOf(6));
    const { status } = await webhook.ask("/validations", request, controller.signal);
    expect(status?.message?.match(/the time is up/g)).to.have.length(1);
    expect(status?.message).to.include("spec.containers[0].image").and.include("spec.containers[5].image");
  });

  it("has its spec.policy evaluated for few of them at a time, since each evaluation has the whole object in its input", async () => {
    const outside = new Outside();
    let [running, most] = [0, 0];
    outside.evaluation = async () => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setImmediate(resolve));
      running -= 1;
      return { kind: "compliant" };
    };
    const condition = { type: "cue", data: "x", includeSpec: true };
    const webhook = await replica(outside, { spec: { policy: condition, authorities: PASS } });
    expect((await webhook.send("CREATE", podOf(100))).response.allowed).to.equal(true);
    expect([outside.asked.evaluate, most]).to.deep.equal([100, 4]);
  });

  it("needs the pull Secrets that it does not name yet, each once", () => {
    const cache = (imagePullSecretName?: string) => ({ ...(imagePullSecretName && { imagePullSecretName }) }) as never;
    const pod = { spec: { imagePullSecrets: [{ name: "own" }, { name: "b" }] } };
    expect(missingPullSecrets(pod, [cache("a"), cache("b"), cache(), cache("a"), cache("c")])).to.deep.equal([
      "a",
      "c",
    ]);
  });
});
