// What owner references, tags and annotations that lie get: nothing. Real API server, controllers, registry and cosign.
import { expect } from "chai";
import { CACHE_ANNOTATION } from "../../core/cache/record.ts";
import { eventually } from "../support/kube.ts";
import { counter, Inheritance, sealOf } from "./inheritance-harness.ts";
import { imagesOf, type Kind, nodes, ownedBy, workload } from "./inheritance-objects.ts";

const KINDS: readonly Kind[] = ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "CronJob"];

describe("inheritance that was not earned", () => {
  let at: Inheritance;

  before(async function () {
    this.timeout(0);
    at = await Inheritance.open("hostile");
    await at.apply(nodes(1));
  });

  after(async function () {
    this.timeout(120_000);
    if (at === undefined) return;
    await at.cluster.kubectl(["delete", "nodes", "-l", "entrepot.dev/inheritance"]);
    await at.close();
  });

  async function trusted(name: string, replicas = 1) {
    const image = await at.signed(`hostile/${name}`);
    await at.apply(workload("ReplicaSet", name, image.reference, replicas));
    await at.pods(name, replicas);
    return { image, owner: await at.get(`replicaset/${name}`) };
  }

  const pod = (image: string, metadata: object) => workload("Pod", "claimant", image, 1, { labels: {}, ...metadata });
  const refused = (object: object) => at.refusal(["create", "--dry-run=server", "-f", "-"], object);
  const refusals = async (reason: string) =>
    counter(await at.product.metrics("webhook"), "entrepot_cache_refusals_total", `reason="${reason}"`);

  it("gives a Pod that names a trusted ReplicaSet no more than its own image has earned", async () => {
    const { image, owner } = await trusted("claimed");
    const unsigned = await at.cluster.pushImage({ repository: "hostile/claimed", tag: "v2" });
    const claim = ownedBy("ReplicaSet", owner.metadata);
    for (const claimed of [unsigned.reference, unsigned.pinned]) {
      expect(await refused(pod(claimed, claim)))
        .to.include("failed policy: hostile")
        .and.include("no signatures found");
    }
    const before = at.requests("hostile/claimed");
    expect(imagesOf([await at.dryRun(pod(image.reference, claim))])).to.deep.equal([
      `${image.reference}@${image.digest}`,
    ]);
    expect(at.requests("hostile/claimed"), "the owner's own image").to.equal(before);
  });

  it("believes no owner of another UID, and none that is gone", async () => {
    const { image, owner } = await trusted("stale");
    await at.restartWebhook();
    const { name, uid } = owner.metadata;
    const stale = ownedBy("ReplicaSet", { name, uid: "00000000-0000-0000-0000-000000000001" });
    expect(imagesOf([await at.dryRun(pod(image.reference, stale))])).to.deep.equal([
      `${image.reference}@${image.digest}`,
    ]);
    expect(await refusals("owner-uid")).to.equal(1);
    await at.kubectl("delete", "replicaset", name, "--cascade=orphan");
    await at.restartWebhook();
    const before = at.requests("hostile/stale");
    const gone = await at.dryRun(pod(image.reference, ownedBy("ReplicaSet", { name, uid })));
    expect(sealOf(gone)).to.include(image.digest);
    expect(at.requests("hostile/stale") - before, "verified anew: tag, signature, payload").to.equal(3);
  });

  it("leaves adopted orphans alone, and judges the Pods that come after", async () => {
    const { image, owner } = await trusted("orphans", 2);
    await at.kubectl("delete", "replicaset", "orphans", "--cascade=orphan");
    await eventually("orphans", async () =>
      (await at.list("pods", "orphans")).every(({ metadata }) => metadata.ownerReferences === undefined),
    );
    const ran = (await at.list("pods", "orphans")).map(({ metadata }) => metadata.uid);
    const before = at.requests("hostile/orphans");
    await at.apply(workload("ReplicaSet", "orphans", image.pinned, 2));
    const again = await at.get("replicaset/orphans");
    expect(again.metadata.uid).not.to.equal(owner.metadata.uid);
    await eventually("adopted Pods", async () =>
      (await at.list("pods", "orphans")).every(
        ({ metadata }) => metadata.ownerReferences?.[0]?.uid === again.metadata.uid,
      ),
    );
    expect((await at.list("pods", "orphans")).map(({ metadata }) => metadata.uid)).to.have.members(ran);
    await at.kubectl("scale", "replicaset", "orphans", "--replicas=3");
    const pods = await at.pods("orphans", 3);
    expect(imagesOf(pods)).to.have.members([`${image.reference}@${image.digest}`, image.pinned]);
    expect(at.requests("hostile/orphans"), "memory knows the image").to.equal(before);
    const unsigned = await at.cluster.pushImage({ repository: "hostile/orphans", tag: "v2" });
    await at.kubectl("delete", "replicaset", "orphans", "--cascade=orphan");
    expect(
      await at.refusal(["create", "-f", "-"], workload("ReplicaSet", "orphans", unsigned.reference, 3)),
    ).to.include("failed policy: hostile");
  });

  it("never runs the unsigned image that a tag was moved to, cached or not, whatever made the Pod", async function () {
    this.timeout(120_000);
    await at.configure({ "dev.entrepot.tag-ttl": "1s", "dev.entrepot.cache-epoch": "moved" });
    const { reference, digest } = await at.signed("hostile/moved");
    const name = (kind: Kind) => `moved-${kind.toLowerCase()}`;
    for (const kind of KINDS) await at.apply(workload(kind, name(kind), reference, 1));
    for (const kind of KINDS) if (kind !== "CronJob") await at.pods(name(kind), 1);
    await at.apply(workload("Pod", "moved-pod", reference));
    const moved = await at.cluster.pushImage({ repository: "hostile/moved", tag: "v1" });
    await at.restartWebhook();

    for (const kind of ["Deployment", "StatefulSet", "DaemonSet"])
      expect(await at.refusal(["rollout", "restart", `${kind}/moved-${kind.toLowerCase()}`]), kind).to.include(
        "failed policy: hostile",
      );
    expect(await refused(workload("Pod", "moved-again", reference))).to.include(moved.digest);
    for (const kind of ["Deployment", "ReplicaSet", "StatefulSet"] as const) {
      await at.kubectl("scale", kind, name(kind), "--replicas=3");
      await at.pods(name(kind), 3);
    }
    await at.kubectl("delete", "pods", "-l", `app=${name("DaemonSet")}`);
    await at.pods(name("DaemonSet"), 1);
    for (const suspend of [true, false]) {
      await at.kubectl("patch", "job", name("Job"), "--type=merge", "-p", JSON.stringify({ spec: { suspend } }));
      await at.pods(name("Job"), suspend ? 0 : 1);
    }
    await at.kubectl("create", "job", "moved-by-hand", "--from=cronjob/moved-cronjob");
    await at.pods(name("CronJob"), 1);
    const everything = async () =>
      imagesOf(
        (await at.list("pods", "moved-pod")).concat(
          ...(await Promise.all(KINDS.map((kind) => at.list("pods", name(kind))))),
        ),
      );
    expect(await everything()).to.deep.equal([`${reference}@${digest}`]);

    await at.configure({ "dev.chainguard.enable-cip-cache": "false", "dev.entrepot.cache-epoch": "moved" });
    await at.restartWebhook();
    await at.kubectl("scale", "deployment", name("Deployment"), "--replicas=4");
    expect(await at.failure(name("Deployment"))).to.include(moved.digest);
    expect(await everything()).to.deep.equal([`${reference}@${digest}`]);
    await at.configure();
  });

  it("admits nothing by a forged annotation that is sent straight to the validating webhook", async () => {
    const { image, owner } = await trusted("straight");
    const seal = sealOf(owner) ?? "";
    const unsigned = await at.cluster.pushImage({ repository: "hostile/straight", tag: "v2" });
    const forged = {
      "the digest of a sealed annotation exchanged": seal.replaceAll(image.digest, unsigned.digest),
      "a sealed annotation of another image": seal,
      "no seal at all": seal.replace(/signature:.*\n?/, ""),
    };
    const review = (reference: string, annotation: string) => ({
      apiVersion: "admission.k8s.io/v1",
      kind: "AdmissionReview",
      request: {
        uid: "straight",
        operation: "CREATE",
        kind: { group: "", version: "v1", kind: "Pod" },
        resource: { group: "", version: "v1", resource: "pods" },
        namespace: "hostile",
        name: "straight",
        object: pod(reference, {
          annotations: { [CACHE_ANNOTATION]: annotation },
          ...ownedBy("ReplicaSet", owner.metadata),
        }),
      },
    });
    for (const [what, annotation] of Object.entries(forged)) {
      const { allowed, status } = await at.post("/validations", review(unsigned.pinned, annotation));
      expect(allowed, what).to.equal(false);
      expect(status?.message).to.include("failed policy: hostile");
    }
    expect((await at.post("/validations", review(image.pinned, seal))).allowed, "what was earned").to.equal(true);
    expect(await refusals("signature")).to.be.at.least(1);
    expect(await refusals("unsigned")).to.be.at.least(1);
  });
});
