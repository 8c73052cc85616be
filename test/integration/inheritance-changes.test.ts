// What a change between a parent and its next Pod does to what passes on: real API server, controllers, registry and cosign.
import { expect } from "chai";
import { eventually } from "../support/kube.ts";
import { Inheritance, sealOf } from "./inheritance-harness.ts";
import { imagesOf, workload } from "./inheritance-objects.ts";

/** Requests for an image whose digest is known: the signature's manifest and its payload. */
const VERIFICATION = 2;

describe("inheritance, when something changed since", () => {
  let at: Inheritance;

  before(async function () {
    this.timeout(0);
    at = await Inheritance.open("changes");
  });

  after(async function () {
    this.timeout(120_000);
    await at?.close();
  });

  async function deployed(name: string, replicas = 1, repository = `changes/${name}`) {
    const image = await at.signed(repository);
    await at.apply(workload("Deployment", name, image.reference, replicas));
    await at.pods(name, replicas);
    return image;
  }

  const scale = (name: string, replicas: number) => at.kubectl("scale", "deployment", name, `--replicas=${replicas}`);

  /** What `work` costs the registry about one repository. */
  async function cost(repository: string, work: () => Promise<unknown>): Promise<number> {
    const before = at.requests(repository);
    await work();
    return at.requests(repository) - before;
  }

  async function withoutRegistry<T>(work: () => Promise<T>): Promise<T> {
    await at.cluster.stop("registry");
    try {
      return await work();
    } finally {
      await at.cluster.start("registry");
    }
  }

  const podsOf = (name: string, image: string) =>
    eventually(`a Pod of ${name} with ${image}`, async () => {
      const pods = await at.list("pods", name);
      return imagesOf(pods).join() === image && pods;
    });

  for (const by of ["tag", "digest"] as const) {
    it(`rolls back to an old ReplicaSet by ${by} with the registry off`, async () => {
      const name = `undo-${by}`;
      const repository = `changes/${name}`;
      const [first, second] = [await at.signed(repository, "v1"), await at.signed(repository, "v2")];
      const written = (image: typeof first) => (by === "tag" ? image.reference : image.pinned);
      const runs = (image: typeof first) => (by === "tag" ? `${image.reference}@${image.digest}` : image.pinned);
      await at.apply(workload("Deployment", name, written(first)));
      await podsOf(name, runs(first));
      await at.kubectl("set", "image", `deployment/${name}`, `app=${written(second)}`);
      await podsOf(name, runs(second));
      await at.restartWebhook();
      const spent = await cost(repository, () =>
        withoutRegistry(async () => {
          await at.kubectl("rollout", "undo", `deployment/${name}`);
          await podsOf(name, runs(first));
          await scale(name, 3);
          expect(imagesOf(await at.pods(name, 3))).to.deep.equal([runs(first)]);
        }),
      );
      expect(spent).to.equal(0);
    });
  }

  it("refuses the rollback of a StatefulSet by tag with the registry off: its history has no annotation to bring", async () => {
    const [first, second] = [await at.signed("changes/set", "v1"), await at.signed("changes/set", "v2")];
    for (const [index, { reference }] of [first, second].entries()) {
      await at.apply(workload("StatefulSet", "set", reference));
      const count = async () => (await at.list("controllerrevisions", "set")).length;
      await eventually(`revision ${index + 1}`, async () => (await count()) === index + 1);
    }
    await at.restartWebhook();
    const said = await withoutRegistry(() => at.refusal(["rollout", "undo", "statefulset/set"]));
    expect(said).to.include("the tag could not be resolved to a digest");
  });

  it("refuses a rollout restart by tag with the registry off: nobody can say what the tag is now", async () => {
    await deployed("restart");
    await at.restartWebhook(); // what was asked for moments ago would do
    const said = await withoutRegistry(() => at.refusal(["rollout", "restart", "deployment/restart"]));
    expect(said).to.include("the tag could not be resolved to a digest");
    expect(await at.list("pods", "restart")).to.have.length(1);
  });

  it("judges the next Pod by a policy that was changed: verified anew, once, with the digest of the revision", async () => {
    await at.policy("changes-renamed", "renamed/**", { data: at.keys.publicKey });
    const { reference, digest } = await deployed("renamed", 1, "renamed/app");
    await at.policy("changes-renamed", "renamed/**", { data: at.keys.publicKey }, { name: "again" });
    await at.restartWebhook(); // evidence is remembered for seconds
    const spent = await cost("renamed/app", async () => {
      await scale("renamed", 10);
      const pods = await at.pods("renamed", 10);
      expect(imagesOf(pods)).to.deep.equal([`${reference}@${digest}`]);
      expect(new Set(pods.map(sealOf)).size, "the old Pod's record, and one for all new ones").to.equal(2);
    });
    expect(spent).to.equal(VERIFICATION);
  });

  it("judges the next Pod by a policy that was tightened: refused, and those that run stay", async () => {
    await at.policy("changes-tight", "tight/**", { data: at.keys.publicKey });
    await deployed("tight", 1, "tight/app");
    const other = await at.cosign.generateKeyPair("tighter");
    await at.policy("changes-tight", "tight/**", { data: other.publicKey });
    await scale("tight", 2);
    expect(await at.failure("tight")).to.include("failed policy: changes-tight");
    expect(await at.list("pods", "tight")).to.have.length(1);
  });

  it("judges the next Pod by the key that was rotated in its Secret", async () => {
    const rotated = await at.cosign.generateKeyPair("rotated");
    const secret = (publicKey: string) =>
      at.cluster.kubectl(
        ["apply", "-f", "-"],
        JSON.stringify({
          apiVersion: "v1",
          kind: "Secret",
          metadata: { name: "changes-key", namespace: "cosign-system" },
          stringData: { "cosign.pub": publicKey },
        }),
      );
    await secret(at.keys.publicKey);
    await at.policy("changes-secret", "secret/**", { secretRef: { name: "changes-key" } });
    const image = await deployed("secret", 1, "secret/app");
    const probe = await at.signed("secret/probe");
    await secret(rotated.publicKey);
    await eventually("the new key", () =>
      at.dryRun(workload("Pod", "probe", probe.reference)).then(
        () => false,
        () => true,
      ),
    );
    await scale("secret", 2);
    expect(await at.failure("secret")).to.include("failed policy: changes-secret");
    await at.cosign.sign(image.pinned, rotated, "classic");
    const pods = await at.pods("secret", 2);
    expect(imagesOf(pods)).to.deep.equal([`${image.reference}@${image.digest}`]);
  });

  it("judges the next Pod by the no-match policy of the day", async () => {
    await at.configure({ "no-match-policy": "allow", "dev.entrepot.cache-epoch": "no-match-1" });
    const image = await at.cluster.pushImage({ repository: "unmatched/app", tag: "v1" });
    await at.apply(workload("Deployment", "unmatched", image.reference));
    await at.pods("unmatched", 1);
    await at.configure({ "no-match-policy": "deny", "dev.entrepot.cache-epoch": "no-match-2" });
    await scale("unmatched", 2);
    expect(await at.failure("unmatched")).to.include("no matching policies");
    expect(await at.list("pods", "unmatched")).to.have.length(1);
  });

  it("verifies the next Pod anew after the epoch was bumped", async () => {
    const image = await at.signed("changes/epoch");
    await at.apply(workload("Deployment", "epoch", image.pinned));
    await at.pods("epoch", 1);
    await at.configure({ "dev.entrepot.cache-epoch": "bumped" });
    await at.restartWebhook(); // evidence is remembered for seconds
    const spent = await cost("changes/epoch", async () => {
      await scale("epoch", 10);
      const pods = await at.pods("epoch", 10);
      expect(pods.filter((pod) => sealOf(pod)?.includes("epoch: bumped"))).to.have.length(9);
    });
    expect(spent).to.equal(VERIFICATION);
  });

  it("still hits after the policy's labels, annotations and status were written, with the memory gone", async () => {
    await deployed("labelled");
    const generation = () =>
      at.cluster.kubectl(["get", "cip", "changes", "-o", "jsonpath={.metadata.resourceVersion}"]);
    const before = await generation();
    await at.cluster.kubectl(["label", "cip", "changes", "team=platform"]);
    await at.cluster.kubectl(["annotate", "cip", "changes", "note=reviewed"]);
    const status = JSON.stringify({ status: { observedGeneration: 1, conditions: [] } });
    await at.cluster.kubectl(["patch", "cip", "changes", "--subresource=status", "--type=merge", "-p", status]);
    await at.cluster.kubectl(["wait", "--for=condition=Ready", "cip/changes", "--timeout=90s"]);
    expect(await generation()).not.to.equal(before);
    await at.restartWebhook();
    const spent = await cost("changes/labelled", async () => {
      await scale("labelled", 10);
      await at.pods("labelled", 10);
    });
    expect(spent).to.equal(0);
  });

  it("verifies once for all Pods of a parent that was admitted before the cache was turned on", async () => {
    await at.configure({ "dev.chainguard.enable-cip-cache": "false", "dev.entrepot.cache-epoch": "off" });
    await eventually("the cache is off", async () => {
      const { reference } = await at.signed("changes/off");
      return sealOf(await at.dryRun(workload("Pod", "probe", reference))) === undefined;
    });
    await deployed("before");
    expect(sealOf(await at.get("deployment/before"))).to.equal(undefined);
    await at.configure({ "dev.entrepot.cache-epoch": "on" });
    await at.restartWebhook();
    const spent = await cost("changes/before", async () => {
      await scale("before", 20);
      const pods = await at.pods("before", 20);
      expect(pods.filter((pod) => sealOf(pod) !== undefined)).to.have.length(19);
    });
    expect(spent, "the tag and one verification").to.equal(1 + VERIFICATION);
    expect(sealOf(await at.get("deployment/before")), "nobody wrote the parent").to.equal(undefined);
    await at.kubectl("rollout", "restart", "deployment/before");
    expect(sealOf(await at.get("deployment/before")), "a changed template is judged and sealed").to.be.a("string");
  });

  it("asks nothing where nobody opted in, and verifies once when the namespace is labelled later", async () => {
    const namespace = "changes-later";
    const metadata = { name: namespace, labels: { "made-by": "changes" } };
    await at.apply({ apiVersion: "v1", kind: "Namespace", metadata });
    const inside = { namespace };
    const signed = await at.signed("changes/later");
    const unsigned = await at.cluster.pushImage({ repository: "changes/never", tag: "v1" });
    const kubectl = (...args: readonly string[]) => at.cluster.kubectl(["-n", namespace, ...args]);
    for (const [name, { reference }] of [
      ["later", signed],
      ["never", unsigned],
    ] as const)
      await at.cluster.kubectl(
        ["create", "-f", "-"],
        JSON.stringify(workload("Deployment", name, reference, 1, { ...inside, labels: { app: name } })),
      );
    const count = async (name: string) =>
      (await kubectl("get", "pods", "-l", `app=${name}`, "-o", "name")).trim().split("\n");
    for (const name of ["later", "never"])
      await eventually(`the Pod of ${name}`, async () => (await count(name))[0] !== "");
    expect(at.requests("changes/later") + at.requests("changes/never")).to.equal(0);
    await kubectl("label", "namespace", namespace, "policy.sigstore.dev/include=true");
    await eventually("the label is known", () =>
      kubectl("run", "probe", `--image=${unsigned.reference}`, "--dry-run=server").then(
        () => false,
        () => true,
      ),
    );
    const spent = await cost("changes/later", async () => {
      await kubectl("scale", "deployment", "later", "never", "--replicas=5");
      await eventually("5 Pods", async () => (await count("later")).length === 5);
    });
    expect(spent, "the tag and one verification").to.equal(1 + VERIFICATION);
    const why = await eventually("a refused Pod", async () => {
      const path = '{.items[*].status.conditions[?(@.type=="ReplicaFailure")].message}';
      return (await kubectl("get", "replicasets", "-l", "app=never", "-o", `jsonpath=${path}`)) || undefined;
    });
    expect(why).to.include("failed policy: changes");
    expect(await count("never"), "what runs is not ended").to.have.length(1);
  });
});
