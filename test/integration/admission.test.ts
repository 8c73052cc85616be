// The whole of admission without a node: real API server and controllers, real registry, real cosign; the product as processes.
import { expect } from "chai";
import { LocalProduct } from "../../hack/local/product.ts";
import type { ClusterHandle } from "../support/cluster.ts";
import { sharedCluster } from "../support/cluster.ts";
import { Cosign, type KeyPair } from "../support/cosign.ts";
import { CACHE_JSONPATH, eventually } from "../support/e2e.ts";

describe("admission against a real API server", () => {
  let cluster: ClusterHandle;
  let product: LocalProduct;
  let cosign: Cosign;
  let keys: KeyPair;

  before(async function () {
    this.timeout(0);
    cluster = await sharedCluster();
    cosign = await Cosign.create();
    keys = await cosign.generateKeyPair("admission");
    product = await LocalProduct.start(cluster);
    await cluster.kubectl(["apply", "-f", "-"], base());
    await cluster.kubectl(["wait", "--for=condition=Ready", "cip/admission", "--timeout=90s"]);
  });

  // The operator first: while it lives it puts the webhook configurations back, and with them every write waits for nobody.
  after(async function () {
    this.timeout(120_000);
    cosign?.dispose();
    await product?.remove();
    if (cluster === undefined) return;
    await cluster.kubectl(["delete", "namespace", "admission", "--wait=false"]);
    await cluster.kubectl(["delete", "cip", "admission", "--ignore-not-found"]);
  });

  const base = () => `
apiVersion: v1
kind: ConfigMap
metadata: {name: config-policy-controller, namespace: cosign-system}
data: {dev.chainguard.enable-cip-cache: "true"}
---
apiVersion: v1
kind: Namespace
metadata: {name: admission, labels: {policy.sigstore.dev/include: "true"}}
---
apiVersion: policy.sigstore.dev/v1alpha1
kind: ClusterImagePolicy
metadata: {name: admission}
spec:
  images: [{glob: "${cluster.registry}/admission/**"}]
  authorities: [{key: {data: ${JSON.stringify(keys.publicKey)}}}]`;

  const kubectl = (...args: readonly string[]) => cluster.kubectl(["-n", "admission", ...args]);
  const webhookRequests = (repository: string) =>
    cluster
      .requests()
      .filter(({ path, userAgent }) => userAgent.startsWith("entrepot") && path.startsWith(`/v2/${repository}/`));

  async function signed(repository: string): Promise<{ readonly reference: string; readonly digest: string }> {
    const image = await cluster.pushImage({ repository, tag: "v1" });
    await cosign.sign(image.pinned, keys, "classic");
    return image;
  }

  it("verifies a Deployment once; its ReplicaSet and 20 Pods, made by the real controllers, cost the registry nothing", async () => {
    const { reference, digest } = await signed("admission/app");
    await kubectl("create", "deployment", "app", `--image=${reference}`);
    await eventually("a Pod", 90_000, async () => (await kubectl("get", "pods", "-o", "name")) || undefined);
    const cold = webhookRequests("admission/app").length;
    expect(cold).to.equal(3);
    await kubectl("scale", "deployment", "app", "--replicas=20");
    const pods = await eventually("20 Pods", 90_000, async () => {
      const names = (await kubectl("get", "pods", "-o", "name")).trim().split("\n");
      return names.length === 20 ? names : undefined;
    });
    expect(webhookRequests("admission/app")).to.have.length(cold);
    const annotations = await Promise.all(
      ["deployment/app", ...pods].map((name) => kubectl("get", name, "-o", `jsonpath=${CACHE_JSONPATH}`)),
    );
    expect(new Set(annotations).size).to.equal(1);
    const images = await kubectl("get", "pods", "-o", "jsonpath={.items[*].spec.containers[0].image}");
    expect(new Set(images.split(" "))).to.deep.equal(new Set([`${reference}@${digest}`]));
    expect(
      await kubectl("get", "deployment", "app", "-o", "jsonpath={.spec.template.spec.containers[0].image}"),
    ).to.equal(reference);
  });

  it("holds after the webhook was killed: scaling again asks no registry", async () => {
    await product.stopPart("webhook", "SIGKILL");
    await product.startPart("webhook");
    const before = webhookRequests("admission/app").length;
    await kubectl("scale", "deployment", "app", "--replicas=25");
    await eventually("25 Pods", 90_000, async () => {
      const names = (await kubectl("get", "pods", "-o", "name")).trim().split("\n");
      return names.length === 25 ? true : undefined;
    });
    expect(webhookRequests("admission/app")).to.have.length(before);
  });

  it("refuses while the webhook is down, and admits again when it is back", async () => {
    const { reference } = await signed("admission/down");
    await product.stopPart("webhook");
    const refused = await kubectl("run", "down", `--image=${reference}`).catch(String);
    expect(refused).to.include("failed calling webhook");
    await product.startPart("webhook");
    await kubectl("run", "down", `--image=${reference}`);
  });

  it("rolls a changed template out with the digest of the moment", async () => {
    const { reference } = await signed("admission/app");
    await kubectl("rollout", "restart", "deployment/app");
    const moved = await eventually("a Pod of the new image", 90_000, async () => {
      const images = new Set(
        (await kubectl("get", "pods", "-l", "app=app", "-o", "jsonpath={.items[*].spec.containers[0].image}")).split(
          " ",
        ),
      );
      return images.size === 2 ? images : undefined;
    });
    expect([...moved].every((image) => image.startsWith(`${reference}@sha256:`))).to.equal(true);
  });

  it("keeps the Secret's key when the Secret goes, and says so", async () => {
    await cluster.kubectl(
      ["apply", "-f", "-"],
      `
apiVersion: v1
kind: Secret
metadata: {name: admission-key, namespace: cosign-system}
stringData: {cosign.pub: ${JSON.stringify(keys.publicKey)}}
---
apiVersion: policy.sigstore.dev/v1beta1
kind: ClusterImagePolicy
metadata: {name: admission}
spec:
  images: [{glob: "${cluster.registry}/admission/**"}]
  authorities: [{key: {secretRef: {name: admission-key}}}]`,
    );
    await cluster.kubectl(["wait", "--for=condition=Ready", "cip/admission", "--timeout=90s"]);
    await cluster.kubectl(["-n", "cosign-system", "delete", "secret", "admission-key"]);
    const message = await eventually("the condition", 90_000, async () => {
      const text = await cluster.kubectl([
        "get",
        "cip",
        "admission",
        "-o",
        `jsonpath={.status.conditions[?(@.type=="Ready")].status} {.status.conditions[?(@.type=="Ready")].message}`,
      ]);
      return text.startsWith("False") ? text : undefined;
    });
    expect(message).to.include('secret "admission-key"');
    const { reference } = await signed("admission/later");
    await kubectl("run", "later", `--image=${reference}`);
    const rogue = await cluster.pushImage({ repository: "admission/rogue", tag: "v1" });
    const refusal = await kubectl("run", "rogue", `--image=${rogue.reference}`).catch(String);
    expect(refusal).to.include("failed policy: admission").and.include("no signatures found");
  });
});
