// Every path of the cache, counted, with scripted registries and owners (a fake: test/support/scripted-admission.ts).
import { expect } from "chai";
import type { Registry } from "prom-client";
import { CACHE_ANNOTATION } from "../../core/cache/record.ts";
import {
  APP,
  annotation,
  imageOf,
  type Json,
  nothing,
  Outside,
  owned,
  type Replica,
  replica,
  SIGNED,
  UNSIGNED,
  workload,
} from "../support/scripted-admission.ts";

async function counter(registry: Registry, name: string, labels: Record<string, string>): Promise<number> {
  const metric = (await registry.getMetricsAsJSON()).find((found) => found.name === name) as
    | { values: { labels: object; value: number }[] }
    | undefined;
  const wanted = JSON.stringify(Object.entries(labels).sort());
  return metric?.values.find((found) => JSON.stringify(Object.entries(found.labels).sort()) === wanted)?.value ?? 0;
}

describe("the verification cache", () => {
  let outside: Outside;
  let first: Replica;
  beforeEach(async () => {
    outside = new Outside();
    first = await replica(outside);
  });

  /** A Deployment and its ReplicaSet as their controller makes it, both admitted. */
  async function rollout(by: Replica): Promise<{ deployment: Json; replicaSet: Json }> {
    const { object: deployment } = await by.send("CREATE", workload("Deployment", "app", APP));
    const copied = { annotations: { ...deployment.metadata.annotations }, ...owned("app", "Deployment") };
    const { object: replicaSet, response } = await by.send("CREATE", workload("ReplicaSet", "app-1", APP, copied));
    expect(response.allowed).to.equal(true);
    outside.owners.set("app", deployment).set("app-1", replicaSet);
    return { deployment, replicaSet };
  }

  it("seals a Deployment once; its ReplicaSet and 20 Pods ask no registry and no Secret, and the owner once", async () => {
    const { deployment, replicaSet } = await rollout(first);
    expect(outside.asked).to.include({ resolve: 1, verify: 1 });
    expect(annotation(deployment)).to.be.a("string").and.equal(annotation(replicaSet));
    outside.asked = { ...nothing };
    for (let index = 0; index < 20; index++) {
      const { response, object } = await first.send(
        "CREATE",
        workload("Pod", `p${index}`, APP, owned("app-1", "ReplicaSet")),
      );
      expect(response.allowed).to.equal(true);
      expect(imageOf(object)).to.equal(`${APP}@${SIGNED}`);
      expect(annotation(object)).to.equal(annotation(deployment));
    }
    expect(outside.asked).to.deep.equal({ ...nothing, owner: 1 });
  });

  it("keeps the template as Git has it", async () => {
    const { deployment } = await rollout(first);
    expect(deployment["spec"]).to.deep.equal(workload("Deployment", "app", APP)["spec"]);
  });

  it("is there for another replica after one metadata-only read of the owner, for all Pods", async () => {
    await rollout(first);
    outside.asked = { ...nothing };
    const second = await replica(outside);
    const pods = Array.from({ length: 20 }, (_, index) =>
      second.send("CREATE", workload("Pod", `p${index}`, APP, owned("app-1", "ReplicaSet"))),
    );
    for (const { response } of await Promise.all(pods)) expect(response.allowed).to.equal(true);
    expect(outside.asked).to.deep.equal({ ...nothing, owner: 1 });
  });

  it("gives every Pod of a revision the digest that was sealed, though the tag moves to an unsigned image", async () => {
    await rollout(first);
    outside.tags.set(APP, UNSIGNED);
    const pod = await (await replica(outside)).send("CREATE", workload("Pod", "p", APP, owned("app-1", "ReplicaSet")));
    expect(imageOf(pod.object)).to.equal(`${APP}@${SIGNED}`);
    const restarted = await replica(outside);
    const template = {
      metadata: { annotations: { "kubectl.kubernetes.io/restartedAt": "now" } },
      spec: { containers: [{ name: "c", image: APP }] },
    };
    const live = outside.owners.get("app") ?? workload("Deployment", "app", APP);
    const { response } = await restarted.send("UPDATE", { ...live, spec: { template } }, { oldObject: live });
    expect(response.allowed).to.equal(false);
    expect(response.status?.message).to.include(`ghcr.io/team/app@${UNSIGNED}`);
  });

  it("verifies once for 200 Pods that come at the same time", async () => {
    const pods = Array.from({ length: 200 }, (_, index) => first.send("CREATE", workload("Pod", `p${index}`, APP)));
    for (const { response } of await Promise.all(pods)) expect(response.allowed).to.equal(true);
    expect(outside.asked).to.include({ resolve: 1, verify: 1 });
  });

  for (const [name, forge] of [
    ["edited", (text: string) => text.replace("s1", "s2")],
    ["of another image", (text: string) => text.replaceAll(SIGNED, UNSIGNED)],
    ["that is garbage", () => "records: {}\nsignature: x\n"],
  ] as const) {
    it(`discards an annotation ${name}, counts it, and verifies afresh`, async () => {
      const { object } = await first.send("CREATE", workload("Pod", "p", APP));
      const second = await replica(outside);
      outside.asked = { ...nothing };
      const forged = { annotations: { [CACHE_ANNOTATION]: forge(annotation(object) ?? "") } };
      const good = await second.send("CREATE", workload("Pod", "q", `ghcr.io/team/app@${SIGNED}`, forged));
      expect(good.response.allowed).to.equal(true);
      expect(annotation(good.object)).to.not.equal(forged.annotations[CACHE_ANNOTATION]);
      const bad = await second.send("CREATE", workload("Pod", "q", `ghcr.io/team/app@${UNSIGNED}`, forged));
      expect(bad.response.allowed).to.equal(false);
      expect(annotation(bad.object)).to.equal(undefined);
      expect(outside.asked.verify).to.equal(2);
      const reason = name === "that is garbage" ? "unsigned" : "signature";
      expect(
        await counter(second.metrics, "entrepot_cache_refusals_total", { level: "own", reason }),
      ).to.be.greaterThan(0);
    });
  }

  it("believes no owner that is not the one named by UID", async () => {
    await rollout(first);
    const second = await replica(outside);
    const live = outside.owners.get("app-1") as Json;
    outside.owners.set("app-1", { ...live, metadata: { ...live.metadata, uid: "other" } });
    outside.asked = { ...nothing };
    await second.send("CREATE", workload("Pod", "p", APP, owned("app-1", "ReplicaSet")));
    expect(outside.asked).to.include({ resolve: 1, verify: 1 });
  });

  it("rolls no tag back for an exported object that is applied again with its annotation", async () => {
    const { object } = await first.send("CREATE", workload("Deployment", "app", APP));
    outside.tags.set(APP, UNSIGNED);
    const { response } = await (await replica(outside)).send("CREATE", object);
    expect(response.allowed).to.equal(false);
    expect(response.status?.message).to.include(UNSIGNED);
  });

  it("gives a forged ownerReference nothing that the image has not earned", async () => {
    await rollout(first);
    const { response } = await first.send(
      "CREATE",
      workload("Pod", "p", `ghcr.io/team/app@${UNSIGNED}`, owned("app-1", "ReplicaSet")),
    );
    expect(response.allowed).to.equal(false);
  });

  it("misses when the policy changed, is another one of the same name, the epoch moved, or time ran out", async () => {
    await rollout(first);
    for (const change of [{ spec: { mode: "warn" } }, { uid: "p2" }, { data: { "dev.entrepot.cache-epoch": "1" } }]) {
      outside.asked = { ...nothing };
      const later = await replica(outside, change);
      await later.send("CREATE", workload("Pod", "p", APP, owned("app-1", "ReplicaSet")));
      expect(outside.asked.verify, JSON.stringify(change)).to.equal(1);
    }
  });

  it("off: neither writes nor believes annotations", async () => {
    await rollout(first);
    const off = await replica(outside, { flag: "false" });
    outside.asked = { ...nothing };
    const { response, object } = await off.send("CREATE", workload("Pod", "p", APP, owned("app-1", "ReplicaSet")));
    expect(response.allowed).to.equal(true);
    expect(annotation(object)).to.equal(undefined);
    expect(outside.asked).to.include({ verify: 1, owner: 0 });
  });

  it("leaves an UPDATE that changes no image alone: no patch, nobody asked, even when the policy would refuse now", async () => {
    const { deployment } = await rollout(first);
    const strict = await replica(outside, { uid: "p9" });
    outside.outcome = () => ({ kind: "failed", message: "revoked" });
    outside.asked = { ...nothing };
    const scaled = { ...deployment, spec: { ...(deployment["spec"] as object), replicas: 20 } };
    const { response, object } = await strict.send("UPDATE", scaled, { oldObject: deployment });
    expect(response.allowed).to.equal(true);
    expect(object).to.deep.equal(scaled);
    expect(outside.asked).to.deep.equal(nothing);
  });

  it("repairs an annotation that an UPDATE edits", async () => {
    const { deployment } = await rollout(first);
    const edited = structuredClone(deployment);
    edited.metadata.annotations = { [CACHE_ANNOTATION]: "records: {}\nsignature: x\n" };
    const { response, object } = await first.send("UPDATE", edited, { oldObject: deployment });
    expect(response.allowed).to.equal(true);
    expect(annotation(object)).to.equal(annotation(deployment));
  });

  it("gives a dry run the same bytes as the real run", async () => {
    const dry = await first.send("CREATE", workload("Pod", "p", APP), { dryRun: true });
    const real = await first.send("CREATE", workload("Pod", "p", APP));
    expect(real.object).to.deep.equal(dry.object);
  });

  it("never seals and never remembers what could not be decided", async () => {
    outside.outcome = () => ({ kind: "undecided", message: "ghcr.io: connection refused" });
    const down = await first.send("CREATE", workload("Pod", "p", APP));
    expect(down.response.allowed).to.equal(false);
    expect(down.response.status?.message).to.include("connection refused");
    expect(annotation(down.object)).to.equal(undefined);
    outside.outcome = new Outside().outcome;
    expect((await first.send("CREATE", workload("Pod", "p", APP))).response.allowed).to.equal(true);
  });

  it("shields the registry from a crowd of refused Pods for a few seconds", async () => {
    outside.tags.set(APP, UNSIGNED);
    for (let index = 0; index < 20; index++) {
      expect((await first.send("CREATE", workload("Pod", `p${index}`, APP))).response.allowed).to.equal(false);
    }
    expect(outside.asked).to.include({ resolve: 1, verify: 1 });
  });

  it("says why when a tag cannot be resolved, and admits nothing", async () => {
    const { response } = await first.send("CREATE", workload("Pod", "p", "ghcr.io/team/gone:v1"));
    expect(response.allowed).to.equal(false);
    expect(response.status).to.deep.include({ code: 400, reason: "BadRequest" });
    expect(response.status?.message).to.match(
      /^validation failed: failed policy: signed: spec\.containers\[0\]\.image\nghcr\.io\/team\/gone:v1 .*connection refused/,
    );
  });

  it("asks no registry for a static policy, not even for the tag", async () => {
    const fixed = await replica(outside, { spec: { authorities: [{ static: { action: "pass" } }] } });
    const { response, object } = await fixed.send("CREATE", workload("Pod", "p", APP));
    expect(response.allowed).to.equal(true);
    expect(imageOf(object)).to.equal(APP);
    expect(outside.asked).to.deep.equal(nothing);
  });

  it("does not start over for an object that is being deleted", async () => {
    const leaving = workload("Pod", "p", "ghcr.io/team/gone:v1", { deletionTimestamp: "2026-01-01T00:00:00Z" });
    expect((await first.send("UPDATE", leaving, { oldObject: leaving })).response.allowed).to.equal(true);
  });
});
