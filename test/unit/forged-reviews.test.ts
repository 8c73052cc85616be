// What somebody leaves behind who plays the API server, whose certificate nobody asks for; and what an author of Pods does, whose texts mutating
// webhooks see before the API server has looked at them. Registries and the API server are scripted (a fake: test/support/scripted-admission.ts).
import { expect } from "chai";
import { Registry } from "prom-client";
import { decodeReview } from "../../core/admission/request.ts";
import { WORKLOAD_KINDS } from "../../core/admission/workload.ts";
import type { Digest } from "../../core/image/reference.ts";
import { WebhookMetrics } from "../../webhooks/metrics.ts";
import { allowed, denied } from "../../webhooks/review.ts";
import {
  APP,
  annotation,
  imageOf,
  type Json,
  Outside,
  owned,
  type Replica,
  replica,
  SIGNED,
  workload,
} from "../support/scripted-admission.ts";

const NEW: Digest = `sha256:${"c".repeat(64)}`;
const BY_VICTIM = { apiVersion: "apps/v1", kind: "ReplicaSet", name: "victim", uid: "uid-victim", controller: true };
const OWNED = { ownerReferences: [BY_VICTIM] };

/** A review as anybody can write one. */
function review(fields: object) {
  const request = { uid: "r", operation: "CREATE", namespace: "team", object: {}, ...fields };
  return decodeReview({ apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", request });
}

describe("a review of an owner", () => {
  let outside: Outside;
  let at: Replica;
  let old: Json;
  beforeEach(async () => {
    outside = new Outside();
    outside.outcome = () => ({ kind: "matched", match: { signatures: [{ id: "s1" }] } });
    at = await replica(outside);
    old = (await at.send("CREATE", workload("ReplicaSet", "old", APP))).object;
    outside.tags.set(APP, NEW);
    at.memory.pins.clear(); // a minute later
    const { object } = await at.send("CREATE", workload("ReplicaSet", "victim", APP));
    outside.owners.set("victim", object);
  });

  const podOf = async (metadata: object) => (await at.send("CREATE", workload("Pod", "p", APP, metadata))).object;
  const forged = (kind: string, name: string, more: object) =>
    review({
      kind: { group: "apps", version: "v1", kind },
      object: {
        metadata: { name, uid: "uid-victim", annotations: old.metadata.annotations },
        spec: { template: { spec: { containers: [] } } },
      },
      ...more,
    });

  for (const [what, kind, name, more] of [
    ["with its uid alone", "Deployment", "x", {}],
    ["with all its names", "ReplicaSet", "victim", {}],
    ["as a dry run", "ReplicaSet", "victim", { dryRun: true }],
  ] as const)
    it(`that is forged, ${what}, rolls nobody's tag back: children inherit what the API server has`, async () => {
      expect(annotation(old)).to.include(SIGNED);
      expect((await at.ask("/validations", forged(kind, name, more))).allowed).to.equal(true);
      expect(imageOf(await podOf(OWNED))).to.equal(`${APP}@${NEW}`);
    });

  it("that is refused, or is refused by another webhook after ours, is no owner that anybody has", async () => {
    outside.outcome = () => ({ kind: "failed", message: "no signatures found" });
    await at.send("UPDATE", workload("ReplicaSet", "victim", "ghcr.io/team/app:v2"), { oldObject: old });
    expect(at.memory.owners.size).to.equal(0);
  });

  it("is for its own namespace and kind, though memory has that uid", async () => {
    expect(imageOf(await podOf(OWNED))).to.equal(`${APP}@${NEW}`);
    expect(outside.asked.owner).to.equal(1);
    await podOf(OWNED);
    expect(outside.asked.owner, "of memory").to.equal(1);
    const pod = workload("Pod", "p", APP, OWNED);
    await at.ask("/mutations", review({ namespace: "other", kind: { version: "v1", kind: "Pod" }, object: pod }));
    expect(outside.asked.owner, "another namespace").to.equal(2);
    await podOf({ ownerReferences: [{ ...BY_VICTIM, kind: "Job", apiVersion: "batch/v1" }] });
    expect(outside.asked.owner, "another kind").to.equal(3);
    await podOf({ ownerReferences: [{ ...BY_VICTIM, apiVersion: "evil.dev/v1" }] });
    expect(outside.asked.owner, "a kind that is no workload's").to.equal(3);
  });

  it("whose own owner has a giant name takes its room of the bound of memory", async () => {
    const giant = owned("n".repeat(1_000_000), "Deployment");
    const { metadata, ...rest } = workload("ReplicaSet", "victim", APP);
    outside.owners.set("victim", { ...rest, metadata: { ...metadata, ...giant } });
    await podOf(OWNED);
    expect(at.memory.owners.calculatedSize).to.be.greaterThan(1_000_000);
  });
});

describe("a Pod that names its pull Secrets thousands of times", () => {
  const podWith = (names: readonly string[]): Json => {
    const pod = workload("Pod", "p", APP);
    const imagePullSecrets = names.map((name) => ({ name }));
    return { ...pod, spec: { ...(pod["spec"] as object), imagePullSecrets } };
  };
  const LONG = "s".repeat(253);

  it("leaves a short key in memory, the one of a Pod that names each once", async () => {
    const outside = new Outside();
    const at = await replica(outside);
    await at.send("CREATE", podWith(Array.from({ length: 5_000 }, () => LONG)), { dryRun: true });
    expect(at.memory.pins.size).to.equal(1);
    for (const key of at.memory.pins.keys()) expect(key.length).to.be.lessThan(1_000);
    await at.send("CREATE", podWith([LONG]));
    expect(at.memory.pins.size).to.equal(1);
    expect(outside.asked.resolve).to.equal(1);
  });

  for (const [what, one, other] of [
    ["in another order", ["a", "b"], ["b", "a"]],
    ["other names that join to the same text", ["a/b"], ["a", "b"]],
  ] as const)
    it(`and one that names them ${what} are of different credentials`, async () => {
      const outside = new Outside();
      const at = await replica(outside);
      await at.send("CREATE", podWith(one));
      await at.send("CREATE", podWith(other));
      expect(at.memory.pins.size).to.equal(2);
    });

  it("memory of pins is bounded by their bytes", async () => {
    const { memory } = await replica(new Outside());
    for (let index = 0; index < 100; index++)
      memory.pins.set(`${index} ${"x".repeat(1_000_000)}`, { digest: SIGNED, resolvedAt: 0 });
    expect(memory.pins.size).to.be.within(1, 16);
  });
});

describe("the metrics of reviews", () => {
  let registry: Registry;
  let metrics: WebhookMetrics;
  beforeEach(() => {
    registry = new Registry();
    metrics = new WebhookMetrics(registry);
  });

  const YES = allowed("r", [], []);
  const labelsOf = async (name: string) =>
    ((await registry.getSingleMetric(name)?.get())?.values ?? []).map(({ labels }) => labels);
  const LEGACY = "policy_controller_request_count";
  const pod = { kind: { group: "", version: "v1", kind: "Pod" }, resource: { resource: "pods" } };

  it("of unknown kinds are one series, whatever they are called", async () => {
    for (let index = 0; index < 500; index++) {
      const long = `${index}${"x".repeat(50)}`; // longer ones are no reviews
      const kind = { group: long, version: long, kind: long };
      metrics.answered("mutate", review({ kind, resource: { resource: long } }), YES, 1);
      metrics.answered("mutate", review({ ...pod, kind: { ...pod.kind, version: long } }), YES, 1);
      metrics.answered("mutate", review({ ...pod, resource: { resource: long } }), YES, 1);
      metrics.answered("mutate", review({ ...pod, kind: { ...pod.kind, group: "constructor" } }), YES, 1);
    }
    expect((await labelsOf("entrepot_admission_requests_total")).map(({ kind }) => kind)).to.deep.equal(["other"]);
    expect(await labelsOf(LEGACY)).to.have.length(1);
    expect((await registry.metrics()).length).to.be.lessThan(50_000);
  });

  it("of odd namespaces are one series", async () => {
    for (const namespace of ["x".repeat(64), "A", "a/b", "-a", "a-", "a.b", "a\nb", " ", "../team"])
      metrics.answered("mutate", { ...review(pod), namespace }, YES, 1);
    expect((await labelsOf(LEGACY)).map((labels) => labels["resource_namespace"])).to.deep.equal(["other"]);
  });

  it("have so many series and no more, and names that came before keep their own", async () => {
    for (let index = 0; index < 6_000; index++)
      metrics.answered("mutate", review({ ...pod, namespace: `n-${index}` }), YES, 1);
    metrics.answered("mutate", review({ ...pod, namespace: "n-0" }), YES, 1);
    const values = (await registry.getSingleMetric(LEGACY)?.get())?.values ?? [];
    expect(values).to.have.length(5_001);
    const of = (name: string) => values.find(({ labels }) => labels["resource_namespace"] === name)?.value;
    expect([of("n-0"), of("n-5999"), of("other")]).to.deep.equal([2, undefined, 1_000]);
  });

  it("tell of all that we are asked about what policy-controller tells", async () => {
    for (const { group, plural, kind } of [
      ...WORKLOAD_KINDS,
      { group: "policy.sigstore.dev", plural: "clusterimagepolicies", kind: "ClusterImagePolicy" },
      { group: "policy.sigstore.dev", plural: "trustroots", kind: "TrustRoot" },
    ]) {
      const version = group === "policy.sigstore.dev" ? "v1alpha1" : "v1";
      const asked = review({ kind: { group, version, kind }, resource: { resource: plural }, namespace: "team-1" });
      metrics.answered("validate", asked, denied("r", "no", []), 1);
      expect((await labelsOf(LEGACY)).at(-1)).to.deep.equal({
        request_operation: "CREATE",
        kind_group: group,
        kind_version: version,
        kind_kind: kind,
        resource_group: group,
        resource_version: version,
        resource_resource: plural,
        resource_namespace: "team-1",
        admission_allowed: "false",
      });
      expect((await labelsOf("entrepot_admission_requests_total")).at(-1)).to.include({ kind, outcome: "denied" });
    }
  });
});
