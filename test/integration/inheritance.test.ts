// What passes from a parent to its children, counted in the registry's own log: real API server, controllers, registry and cosign.
import { expect } from "chai";
import { eventually } from "../support/kube.ts";
import { Inheritance, sealOf } from "./inheritance-harness.ts";
import { type Item, imagesOf, type Kind, nodes, workload } from "./inheritance-objects.ts";

/** Requests for a new image by tag: the tag, the signature's manifest, its payload. */
const COLD = 3;

describe("inheritance, by the real controllers", () => {
  let at: Inheritance;

  before(async function () {
    this.timeout(0);
    at = await Inheritance.open("inherit");
    await at.apply(nodes(2));
  });

  after(async function () {
    this.timeout(120_000);
    if (at === undefined) return;
    await at.kubectl("delete", "daemonsets,nodes", "--selector=entrepot.dev/inheritance", "--wait=false");
    await at.close();
  });

  const ownerKinds = (items: readonly Item[]) =>
    new Set(items.flatMap(({ metadata }) => metadata.ownerReferences?.map(({ kind }) => kind) ?? []));

  /** A parent, and once its Pods are there, everything below it carries its seal and cost the registry nothing. */
  async function passesOn(
    kind: Kind,
    middle: "replicasets" | "jobs" | undefined,
    start?: (name: string) => Promise<void>,
  ) {
    const name = kind.toLowerCase();
    const repository = `inherit/${name}`;
    const { reference, digest } = await at.signed(repository);
    await at.apply(workload(kind, name, reference, 2));
    expect(at.requests(repository), "at the parent").to.equal(COLD);
    await start?.(name);
    const pods = await at.pods(name, 2);
    expect(at.requests(repository), "with all children").to.equal(COLD);
    const seal = sealOf(await at.get(`${kind}/${name}`));
    expect(seal).to.include(digest);
    const between = middle === undefined ? [] : await at.list(middle, name);
    expect(between).to.have.length(middle === undefined ? 0 : 1);
    for (const child of [...between, ...pods]) expect(sealOf(child), child.metadata.name).to.equal(seal);
    expect(imagesOf(pods)).to.deep.equal([`${reference}@${digest}`]);
    return ownerKinds(pods);
  }

  it("Deployment → ReplicaSet → Pod", async () => {
    expect(await passesOn("Deployment", "replicasets")).to.deep.equal(new Set(["ReplicaSet"]));
  });

  it("StatefulSet → Pod", async () => {
    expect(await passesOn("StatefulSet", undefined)).to.deep.equal(new Set(["StatefulSet"]));
  });

  it("DaemonSet → Pod", async () => {
    expect(await passesOn("DaemonSet", undefined)).to.deep.equal(new Set(["DaemonSet"]));
  });

  it("a ReplicaSet of its own → Pod", async () => {
    expect(await passesOn("ReplicaSet", undefined)).to.deep.equal(new Set(["ReplicaSet"]));
  });

  it("a Job of its own → Pod", async () => {
    expect(await passesOn("Job", undefined)).to.deep.equal(new Set(["Job"]));
  });

  it("CronJob → Job → Pod", async () => {
    // Its controller believes that it was last run two days ago, and catches up at once.
    const overdue = async (name: string) => {
      const lastScheduleTime = `${new Date(Date.now() - 48 * 3_600_000).toISOString().slice(0, 19)}Z`;
      const patch = JSON.stringify({ status: { lastScheduleTime } });
      await at.kubectl("patch", "cronjob", name, "--subresource=status", "--type=merge", "-p", patch);
    };
    expect(await passesOn("CronJob", "jobs", overdue)).to.deep.equal(new Set(["Job"]));
  });

  for (const replicas of [1, 20, 100]) {
    it(`a Deployment of ${replicas} by tag: ${COLD} requests, all of them at the Deployment`, async function () {
      this.timeout(120_000);
      const name = `of-${replicas}`;
      const { reference, digest } = await at.signed(`inherit/${name}`);
      await at.apply(workload("Deployment", name, reference, replicas));
      expect(at.requests(`inherit/${name}`)).to.equal(COLD);
      const pods = await at.pods(name, replicas);
      expect(at.requests(`inherit/${name}`)).to.equal(COLD);
      expect(imagesOf(pods)).to.deep.equal([`${reference}@${digest}`]);
      expect(new Set(pods.map(sealOf))).to.deep.equal(new Set([sealOf(await at.get(`deployment/${name}`))]));
    });
  }

  it("a scale-up, a restart of the webhook, a second replica of it, the registry switched off: no request", async function () {
    this.timeout(120_000);
    const before = at.requests();
    const grow = async (replicas: number) => {
      await at.kubectl("scale", "deployment", "of-20", `--replicas=${replicas}`);
      return await at.pods("of-20", replicas);
    };
    await grow(25);
    await at.restartWebhook();
    await grow(30);
    await at.toSecondReplica();
    await at.kubectl(
      "delete",
      "pods",
      ...(await at.list("pods", "of-20")).slice(0, 5).map(({ metadata }) => metadata.name),
    );
    await at.pods("of-20", 30);
    expect(await at.secondReplicasCounter("entrepot_owner_reads_total"), "one read for five Pods").to.equal(1);
    await grow(35);
    await at.endSecondReplica();
    await at.restartWebhook();
    await at.cluster.stop("registry");
    try {
      const pods = await grow(40);
      expect(new Set(pods.map(sealOf)).size).to.equal(1);
      const other = await at.refusal(["run", "other", `--image=${at.cluster.registry}/inherit/other:v1`]);
      expect(other, "the registry is off indeed").to.include("could not be resolved");
    } finally {
      await at.cluster.start("registry");
    }
    expect(at.requests()).to.equal(before);
  });

  for (const kind of ["StatefulSet", "DaemonSet"] as const) {
    it(`gives a new revision of a ${kind} its own digest, though this replica knows the old one's`, async () => {
      const name = `revised-${kind.toLowerCase()}`;
      const old = await at.signed(`inherit/${name}`);
      await at.apply(workload(kind, name, old.reference, 2));
      await at.pods(name, 2);
      await at.toSecondReplica();
      const renewed = async () => {
        const gone = (await at.list("pods", name)).map(({ metadata }) => metadata.uid);
        await at.kubectl("delete", "pods", "-l", `app=${name}`);
        return await eventually("new Pods", async () => {
          const pods = await at.list("pods", name);
          return pods.length === 2 && pods.every(({ metadata }) => !gone.includes(metadata.uid)) && imagesOf(pods);
        });
      };
      expect(await renewed()).to.deep.equal([`${old.reference}@${old.digest}`]);
      await at.lead("first");
      const moved = await at.signed(`inherit/${name}`);
      await at.kubectl("rollout", "restart", `${kind}/${name}`);
      await at.observed(`${kind}/${name}`);
      await at.lead("second");
      expect(await renewed()).to.deep.equal([`${moved.reference}@${moved.digest}`]);
      await at.endSecondReplica();
    });
  }

  it("gives the next Job of a CronJob the digest of its present template, though this replica knows the old one's", async () => {
    const old = await at.signed("inherit/cron");
    await at.apply(workload("CronJob", "cron", old.reference));
    await at.toSecondReplica();
    const run = async (job: string) => {
      await at.kubectl("create", "job", job, "--from=cronjob/cron");
      return await eventually(`the Pod of ${job}`, async () => {
        const pods = await at.list("pods", "cron");
        const own = pods.filter(({ metadata }) => metadata.ownerReferences?.[0]?.name === job);
        return own.length === 1 && imagesOf(own);
      });
    };
    expect(await run("cron-1")).to.deep.equal([`${old.reference}@${old.digest}`]);
    await at.lead("first");
    const moved = await at.signed("inherit/cron");
    const restarted = {
      spec: { jobTemplate: { spec: { template: { metadata: { annotations: { restarted: "now" } } } } } },
    };
    await at.kubectl("patch", "cronjob", "cron", "--type=merge", "-p", JSON.stringify(restarted));
    await at.lead("second");
    expect(await run("cron-2")).to.deep.equal([`${moved.reference}@${moved.digest}`]);
    await at.endSecondReplica();
  });

  it("the API server does ask the second replica, and nobody else", async () => {
    await at.toSecondReplica();
    const { reference } = await at.signed("inherit/second");
    await at.product.stopPart("webhook");
    try {
      await at.apply(workload("Deployment", "second", reference));
      await at.pods("second", 1);
    } finally {
      await at.product.startPart("webhook");
      await at.endSecondReplica();
    }
    await at.dryRun(workload("Pod", "again", reference));
    expect(at.requests("inherit/second")).to.equal(COLD + COLD);
  });
});
