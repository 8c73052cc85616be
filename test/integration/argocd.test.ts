// The real Argo CD over the real product: what is in Git is synced once and stays so, is refused where it must be, and is gone when it
// is deleted. Real API server, controllers, registry, cosign, operator and webhook; no node.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { loadAll } from "js-yaml";
import { REGISTRY_LABEL } from "../../core/cacheregistry/labels.ts";
import { FINALIZER } from "../../crds/index.ts";
import { type ArgoCd, argoCdObstacle, startArgoCd } from "../support/argocd.ts";
import { type Application, Applications } from "../support/argocd-applications.ts";
import { requireNoOperator, sharedCluster } from "../support/cluster.ts";
import { eventually } from "../support/kube.ts";
import { makeAvailable } from "./argocd-objects.ts";
import { manifest, settled } from "./byte-stability-objects.ts";
import { Inheritance } from "./inheritance-harness.ts";

const NAME = "argocd-apps";
const EXAMPLES = join(import.meta.dirname, "../../examples");
const REFRESHES = 3;

/** How Argo CD can be told to compare and apply. */
const WAYS = {
  client: {},
  server: { compare: "ServerSideDiff=true", syncOptions: ["ServerSideApply=true"] },
  mutated: { compare: "ServerSideDiff=true,IncludeMutationWebhook=true", syncOptions: ["ServerSideApply=true"] },
} as const;
type Way = keyof typeof WAYS;

interface Item {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly finalizers?: readonly string[]; readonly generation?: number };
  readonly status?: { readonly observedGeneration?: number };
}

describe("Argo CD", function () {
  this.timeout(120_000);
  let at: Inheritance;
  let argo: ArgoCd;
  let apps: Applications;

  before(async function () {
    this.timeout(0);
    const cluster = await sharedCluster();
    requireNoOperator(this, cluster);
    const obstacle = await argoCdObstacle(cluster);
    if (obstacle !== undefined) {
      console.error(`      skipped: Argo CD: ${obstacle}`);
      this.skip();
    }
    at = await Inheritance.open(NAME);
    apps = await Applications.open(cluster);
    argo = await startArgoCd(cluster, join(EXAMPLES, "argocd/health.yaml"));
  });

  after(async function () {
    this.timeout(120_000);
    await argo?.remove();
    await apps?.close();
    if (at === undefined) return;
    const ours = ["cacherules", "cacheregistries", "clusterimagepolicies"].join(",");
    await at.cluster.kubectl(["delete", ours, "-l", `made-by=${NAME}`]); // what a test that failed has left
    await at.close();
  });

  /** Syncs a Deployment of an image, for the first time or anew; resolves once its Pods count as ready. */
  async function rollOut(app: string, way: Way, image: string, isNew = true): Promise<Application> {
    const revision = await apps.commit(app, [manifest(app, image)]);
    if (isNew) await apps.create(app, { namespace: NAME, ...WAYS[way] });
    await apps.until(app, "applied", ({ status }) => {
      const { phase, syncResult } = status?.operationState ?? {};
      return phase === "Succeeded" && syncResult?.revision === revision;
    });
    await makeAvailable(at, app);
    return await apps.synced(app, revision);
  }

  /** Argo CD finds no difference, however often it looks, and has not synced again. */
  async function expectRest(app: string, before: Application): Promise<void> {
    for (let time = 0; time < REFRESHES; time += 1) {
      const { status } = await apps.refresh(app);
      expect(status?.sync?.status, `refresh ${time}`).to.equal("Synced");
      expect(status?.health?.status).to.equal(before.status?.health?.status);
      expect(status?.operationState).to.deep.equal(before.status?.operationState);
      expect(status?.history).to.deep.equal(before.status?.history);
    }
  }

  for (const way of Object.keys(WAYS) as Way[])
    it(`syncs a workload once, and again for a new image, and sees no difference after (${way})`, async () => {
      const { reference } = await at.signed(`${NAME}/${way}`);
      const synced = await rollOut(way, way, reference);
      const before = await settled(at, way);
      expect(before.seal).to.be.a("string");
      await expectRest(way, synced);
      expect(await settled(at, way)).to.deep.equal(before);

      const { pinned } = await at.signed(`${NAME}/${way}`, "v2");
      const again = await rollOut(way, way, pinned, false);
      const renewed = await settled(at, way);
      expect(renewed.seal).to.be.a("string").and.not.equal(before.seal);
      expect(again.status?.history).to.have.length(2);
      await expectRest(way, again);
      expect(await settled(at, way)).to.deep.equal(renewed);
    });

  it("puts back what was changed by hand, and the sealed annotation stays, byte for byte", async () => {
    for (const way of ["client", "server"]) {
      const synced = await apps.read(way);
      const { seal } = await settled(at, way);
      await at.kubectl("scale", `deployment/${way}`, "--replicas=0");
      const healed = await apps.until(way, "healed", ({ status }) => {
        const { operationState: done, sync } = status ?? {};
        const isAnew = done?.startedAt !== synced.status?.operationState?.startedAt;
        return isAnew && done?.phase === "Succeeded" && sync?.status === "Synced";
      });
      expect(healed.status?.operationState?.syncResult?.resources).to.have.length(1);
      expect((await settled(at, way)).seal).to.equal(seal);
      expect(await at.kubectl("get", `deployment/${way}`, "-o", "jsonpath={.spec.replicas}")).to.equal("1");
    }
  });

  it("compared by itself, and only so, is OutOfSync right after a sync where templates are pinned (resolve-digests: all)", async () => {
    const pinning = { "dev.entrepot.resolve-digests": "all", "dev.entrepot.cache-epoch": "2" };
    await at.configure(pinning);
    try {
      const { reference } = await at.signed(`${NAME}/pinned`);
      await rollOut("pinned", "server", reference).then((synced) => expectRest("pinned", synced));
      await apps.commit("differing", [manifest("differing", reference)]);
      await apps.create("differing", { namespace: NAME });
      await apps.until("differing", "OutOfSync after a sync", ({ status }) => {
        return status?.operationState?.phase === "Succeeded" && status.sync?.status === "OutOfSync";
      });
      await apps.delete("differing");
      await apps.gone("differing");
    } finally {
      await at.configure({ "dev.entrepot.cache-epoch": "3" });
    }
  });

  it("says why a workload is refused", async () => {
    const { reference } = await at.cluster.pushImage({ repository: `${NAME}/refused`, tag: "unsigned" });
    await apps.commit("refused", [manifest("refused", reference)]);
    await apps.create("refused", { namespace: NAME });
    const { status } = await apps.until("refused", "a failed sync", ({ status: { operationState } = {} }) =>
      Boolean(operationState?.syncResult?.resources?.some((resource) => resource.status === "SyncFailed")),
    );
    const [resource] = status?.operationState?.syncResult?.resources ?? [];
    expect(resource?.message).to.match(/admission webhook "policy\.sigstore\.dev" denied the request: /);
    expect(resource?.message).to.include(`failed policy: ${NAME}`).and.include(reference);
    expect(status?.sync?.status).to.equal("OutOfSync");
    await apps.delete("refused");
    await apps.gone("refused");
  });

  it("syncs a workload of a later wave only when the policy of an earlier one is enforced", async () => {
    const { reference } = await at.cluster.pushImage({ repository: "argocd-waves/app", tag: "v1" });
    const wave = (object: object, which: number): object => {
      const { metadata, ...rest } = object as { readonly metadata: object };
      return { ...rest, metadata: { ...metadata, annotations: { "argocd.argoproj.io/sync-wave": String(which) } } };
    };
    const policy = {
      apiVersion: "policy.sigstore.dev/v1beta1",
      kind: "ClusterImagePolicy",
      metadata: { name: "argocd-waves", labels: { "made-by": NAME } },
      spec: {
        images: [{ glob: `${at.cluster.registry}/argocd-waves/**` }],
        authorities: [{ static: { action: "pass" } }],
      },
    };
    expect(await at.refusal(["create", "-f", "-"], manifest("waves", reference))).to.include("no matching policies");
    const revision = await apps.commit("waves", [wave(manifest("waves", reference), 1), wave(policy, 0)]);
    await apps.create("waves", { namespace: NAME });
    const { status } = await apps.synced("waves", revision, "Progressing");
    expect(status?.history, "at the first attempt: a failed sync is not tried again").to.have.length(1);
    expect(status?.resources?.find(({ kind }) => kind === "ClusterImagePolicy")?.health?.status).to.equal("Healthy");
    await apps.delete("waves");
    await apps.gone("waves");
  });

  const platform = () => {
    const read = (file: string) => loadAll(readFileSync(join(EXAMPLES, file), "utf8")) as Item[];
    const ofCaches = [...read("cacheregistry-in-cluster.yaml"), ...read("cacherule-image.yaml")];
    // The examples' upstream is on the internet: the cluster's own registry stands for it.
    const here = JSON.stringify(ofCaches)
      .replaceAll('"host":"docker.io"', `"host":"${at.cluster.registry}","plainHTTP":true`)
      .replaceAll('"docker.io/', `"${at.cluster.registry}/`);
    const all = [...(JSON.parse(here) as Item[]), ...read("policy-static.yaml"), ...read("policy-key.yaml")];
    return all.map((object) => ({ ...object, metadata: { ...object.metadata, labels: { "made-by": NAME } } }));
  };

  async function ours(): Promise<readonly Item[]> {
    const kinds = ["cacheregistries", "cacherules", "clusterimagepolicies"].join(",");
    const ownedByArgo = (await at.cluster.kubectl(["get", kinds, "-l", `made-by=${NAME}`, "-o", "json"])) || "{}";
    const { items } = JSON.parse(ownedByArgo) as { readonly items: readonly Item[] };
    return items.filter(({ metadata }) => metadata.name !== NAME); // the harness's policy
  }

  it("syncs registries, rules and policies once, and sees no difference in what the operator writes", async () => {
    const revision = await apps.commit("platform", platform());
    await apps.create("platform", { namespace: "cosign-system" });
    await apps.synced("platform", revision, "Progressing"); // no node runs the gateway
    await eventually("the operator has looked at all", async () =>
      (await ours()).every(({ metadata, status }) => status?.observedGeneration === metadata.generation),
    );
    const isHealthy = (kind: string, { status }: Application) =>
      status?.resources?.filter((one) => one.kind === kind).every(({ health }) => health?.status === "Healthy") ===
      true;
    const synced = await apps.until("platform", "policies enforced", (it) => isHealthy("ClusterImagePolicy", it));
    expect(isHealthy("CacheRegistry", synced)).to.equal(false);
    const held = (await ours()).filter(({ metadata }) => metadata.finalizers?.includes(FINALIZER));
    expect(held.map(({ kind, metadata }) => `${kind} ${metadata.name}`)).to.have.members([
      "CacheRegistry in-cluster",
      "CacheRule demo-prometheus",
      "CacheRule nginx",
    ]);
    await expectRest("platform", synced);
    expect(synced.status?.history).to.have.length(1);
  });

  it("prunes a rule that is gone from Git", async () => {
    const rest = platform().filter(({ metadata }) => metadata.name !== "nginx");
    const revision = await apps.commit("platform", rest);
    await apps.synced("platform", revision, "Progressing");
    expect((await ours()).filter(({ kind }) => kind === "CacheRule")).to.have.length(1);
  });

  it("deletes all of it, waits while the operator is away, and finishes once it is back", async () => {
    await at.product.stopPart("operator");
    try {
      await apps.delete("platform");
      const isWaiting = ({ metadata }: Item) => "deletionTimestamp" in metadata;
      await eventually("only what the operator holds is left, on its way", async () => {
        const left = await ours();
        return left.every(isWaiting) && left.every(({ kind }) => kind.startsWith("Cache")) && left.length === 2;
      });
      expect((await apps.read("platform")).metadata.deletionTimestamp).to.be.a("string");
    } finally {
      await at.product.startPart("operator");
    }
    await apps.gone("platform");
    expect(await ours()).to.deep.equal([]);
    const made = [
      "get",
      "deployments,statefulsets,services",
      "-n",
      "cosign-system",
      "-l",
      `${REGISTRY_LABEL}=in-cluster`,
    ];
    expect(await at.cluster.kubectl([...made, "-o", "name"])).to.equal("");
  });
});
