// A TrustRoot that changes under an old Deployment: real API server, controllers, Fulcio, timestamp authority, registry and cosign.
import { expect } from "chai";
import { CACHE_ANNOTATION } from "../../core/cache/record.ts";
import { type ClusterHandle, sharedCluster } from "../support/cluster.ts";
import { eventually } from "../support/kube.ts";
import { applyNamespace } from "../support/namespaces.ts";
import { newAuthority } from "../support/sigstore/authority.ts";
import { ProductStage } from "../support/sigstore/product.ts";
import type { KeylessStage } from "../support/sigstore/stage.ts";
import { sigstoreKeys } from "../support/sigstore/trusted-root.ts";
import { type Item, workload } from "./inheritance-objects.ts";

const NAME = "judged-anew";
const APP = "old";

describe("the next Pod of an old Deployment", function () {
  this.timeout(120_000);
  let product: ProductStage;
  let stage: KeylessStage;
  let cluster: ClusterHandle;

  before(async function () {
    this.timeout(0); // the first run on a machine builds Kubernetes and the servers
    product = await ProductStage.open();
    stage = product.stage;
    cluster = await sharedCluster();
    const labels = { "policy.sigstore.dev/include": "true" };
    await applyNamespace(cluster, NAME, labels);
    await product.apply({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "config-policy-controller", namespace: "cosign-system" },
      data: { "dev.chainguard.enable-cip-cache": "true" },
    });
  });

  after(async function () {
    this.timeout(120_000);
    await product?.close();
    await cluster?.kubectl(["delete", "namespace", NAME, "--wait=false"]);
  });

  const kubectl = (...args: readonly string[]) => cluster.kubectl(["-n", NAME, ...args]);

  async function list(kind: string): Promise<readonly Item[]> {
    const { items } = JSON.parse(await kubectl("get", kind, "-l", `app=${APP}`, "-o", "json")) as { items: Item[] };
    return items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  }

  async function scale(replicas: number): Promise<readonly Item[]> {
    await kubectl("scale", "deployment", APP, `--replicas=${replicas}`);
    return await eventually(`${replicas} Pods`, async () => {
      const pods = await list("pods");
      return pods.length === replicas && pods;
    });
  }

  /** What webhooks asked the registry since the last call. */
  const asked = () => stage.registry.newRequests().filter(({ userAgent }) => userAgent.startsWith("entrepot")).length;

  const roots = () =>
    cluster.kubectl(["-n", "cosign-system", "get", "cm", "config-sigstore-keys", "-o", "jsonpath={.data.anew}"]);

  it("is judged by a TrustRoot that changed; its labels and status change nothing", async () => {
    const ours = sigstoreKeys(stage.sigstore);
    const strangers = sigstoreKeys({
      ...stage.sigstore,
      fulcio: { url: stage.sigstore.fulcio.url, chain: [newAuthority("stranger").pem] },
    });
    await product.trustRoot("anew", { sigstoreKeys: ours });
    const identities = [{ issuerRegExp: ".*kubernetes.default.*", subjectRegExp: ".*" }];
    const keyless = { url: "https://fulcio.example.com", trustRootRef: "anew", identities };
    await product.policy("anew", {
      images: [{ glob: "**/anew-*" }],
      authorities: [{ keyless, rfc3161timestamp: { trustRootRef: "anew" } }],
    });
    const image = await stage.image("anew");
    const account = { kind: "kubernetes", namespace: "default", serviceAccount: "default" } as const;
    await stage.keyless.sign(image.pinned, account, { form: "classic" });
    await eventually("the cache is on", async () => {
      const made = await cluster.kubectl(
        ["-n", NAME, "create", "--dry-run=server", "-o", "json", "-f", "-"],
        JSON.stringify(workload("Pod", "probe", image.pinned)),
      );
      return (JSON.parse(made) as Item).metadata.annotations?.[CACHE_ANNOTATION] !== undefined;
    });
    await cluster.kubectl(["-n", NAME, "apply", "-f", "-"], JSON.stringify(workload("Deployment", APP, image.pinned)));
    await scale(2);

    asked();
    const before = await roots();
    await cluster.kubectl(["label", "trustroot", "anew", "team=platform"]);
    const status = JSON.stringify({ status: { observedGeneration: 1, conditions: [] } });
    await cluster.kubectl(["patch", "trustroot", "anew", "--subresource=status", "--type=merge", "-p", status]);
    await cluster.kubectl(["wait", "--for=condition=Ready", "trustroot/anew", "--timeout=90s"]);
    await scale(5);
    expect(asked(), "a hit").to.equal(0);

    await product.trustRoot("anew", { sigstoreKeys: strangers });
    await eventually("other keys", async () => (await roots()) !== before);
    await eventually("it is enforced", async () => (await product.admit(image)).status === 400);
    await kubectl("scale", "deployment", APP, "--replicas=6");
    const why = await eventually("a refused Pod", async () => {
      const conditions = (await list("replicasets")).flatMap(({ status }) => status?.conditions ?? []);
      return conditions.find(({ type, status }) => type === "ReplicaFailure" && status === "True")?.message;
    });
    expect(why).to.include("failed policy: anew").and.to.include("certificate signed by unknown authority");
    expect(await list("pods"), "what runs is not ended").to.have.length(5);

    await product.trustRoot("anew", { sigstoreKeys: ours });
    await scale(6);
  });
});
