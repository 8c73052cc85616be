import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ClusterImagePolicySpec } from "../../../crds/index.ts";
import { LocalProduct } from "../../../hack/local/product.ts";
import { type ApiAnswer, ApiServer } from "../api-server.ts";
import { type ClusterHandle, sharedCluster } from "../cluster.ts";
import { eventually } from "../kube.ts";
import { applyNamespace } from "../namespaces.ts";
import { TufMirror, TufRepositoryMaker } from "../tuf-repository.ts";
import { KeylessStage, type StagedImage } from "./stage.ts";
import { type TrustMaterial, trustedRoot } from "./trusted-root.ts";

const SYSTEM = "cosign-system";
const READY = ["--for=condition=Ready", "--timeout=60s"] as const;

interface Opened {
  readonly stage: KeylessStage;
  readonly cluster: ClusterHandle;
  readonly product: LocalProduct;
  readonly api: ApiServer;
  readonly mirror: TufMirror;
  readonly namespace: string;
  readonly dir: string;
}

/** The product as processes on a real API server, and a Sigstore that it takes for the public-good instance (by TUF). */
export class ProductStage {
  readonly stage: KeylessStage;
  readonly #opened: Opened;
  readonly #made: string[] = [];
  readonly #secrets: string[] = [];

  private constructor(opened: Opened) {
    this.#opened = opened;
    this.stage = opened.stage;
  }

  /** Builds what this machine lacks, so call it in `before` with `this.timeout(0)`. */
  static async open(): Promise<ProductStage> {
    const cluster = await sharedCluster();
    const stage = await KeylessStage.open();
    const tuf = tufOf(stage.sigstore);
    const mirror = new TufMirror(tuf.files);
    const dir = mkdtempSync(join(tmpdir(), "entrepot-product-"));
    const root = join(dir, "root.json");
    writeFileSync(root, Buffer.from(tuf.root(), "base64"));
    const api = await ApiServer.connect(cluster.kubeconfig);
    const product = await LocalProduct.start(cluster, undefined, {
      operator: {
        flags: [`--tuf-mirror=${await mirror.start()}`, `--tuf-root=${root}`, "--trustroot-resync-period=1s"],
      },
    });
    const namespace = `keyless-${randomBytes(4).toString("hex")}`;
    const opened = new ProductStage({ stage, cluster, product, api, mirror, namespace, dir });
    await opened.#prepare().catch(async (thrown: unknown) => {
      await opened.close().catch(() => undefined); // nobody would hold it; why it did not come up is what counts
      throw thrown;
    });
    return opened;
  }

  async #prepare(): Promise<void> {
    const { cluster, namespace } = this.#opened;
    await applyNamespace(cluster, namespace, { "policy.sigstore.dev/include": "true" });
    await eventually("the public-good root", async () => {
      const found = await cluster.kubectl([
        "-n",
        SYSTEM,
        "get",
        "configmap",
        "public-good-trusted-root",
        "-o",
        "json",
        "--ignore-not-found",
      ]);
      return found.includes(JSON.stringify(this.stage.sigstore.fulcio.url).slice(1, -1));
    });
  }

  /** Applies an object. Rejects with kubectl's words. */
  async apply(object: object): Promise<void> {
    await this.#opened.cluster.kubectl(["apply", "-f", "-"], JSON.stringify(object));
  }

  /** Makes a Secret in the system namespace. */
  async secret(name: string, stringData: Readonly<Record<string, string>>): Promise<void> {
    await this.apply({ apiVersion: "v1", kind: "Secret", metadata: { name, namespace: SYSTEM }, stringData });
    this.#secrets.push(`secret/${name}`);
  }

  /** Applies a policy and waits until every replica enforces it. */
  async policy(name: string, spec: ClusterImagePolicySpec): Promise<void> {
    await this.apply({
      apiVersion: "policy.sigstore.dev/v1alpha1",
      kind: "ClusterImagePolicy",
      metadata: { name },
      spec,
    });
    this.#made.push(`clusterimagepolicy/${name}`);
    await this.#opened.cluster.kubectl(["wait", ...READY, `clusterimagepolicy/${name}`]);
  }

  /** Applies a TrustRoot and waits until it is Ready. */
  async trustRoot(name: string, spec: object): Promise<void> {
    await this.apply({ apiVersion: "policy.sigstore.dev/v1alpha1", kind: "TrustRoot", metadata: { name }, spec });
    this.#made.push(`trustroot/${name}`);
    await this.#opened.cluster.kubectl(["wait", ...READY, `trustroot/${name}`]);
  }

  /** What the API server says to a Pod of an image, which is not created. */
  admit(image: StagedImage | string): Promise<ApiAnswer> {
    const reference = typeof image === "string" ? image : image.pinned;
    return this.#opened.api.send({
      method: "POST",
      path: `/api/v1/namespaces/${this.#opened.namespace}/pods`,
      body: {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: `pod-${randomBytes(4).toString("hex")}` },
        spec: { containers: [{ name: "app", image: reference }] },
      },
      dryRun: true,
    });
  }

  /** The operator first: while it lives it puts the webhook configurations back, and with them every write waits for nobody. */
  async close(): Promise<void> {
    const { cluster, product, api, mirror, namespace, dir } = this.#opened;
    await product.remove();
    await cluster.kubectl(["delete", "namespace", namespace, "--wait=false", "--ignore-not-found"]);
    if (this.#made.length > 0) await cluster.kubectl(["delete", ...this.#made, "--ignore-not-found", "--wait=false"]);
    if (this.#secrets.length > 0)
      await cluster.kubectl(["-n", SYSTEM, "delete", ...this.#secrets, "--ignore-not-found"]);
    await Promise.all([api.close(), mirror.stop(), this.stage.close()]);
    rmSync(dir, { recursive: true, force: true });
  }
}

/** A TUF repository that leads to the trusted root of `material`, as Sigstore's own does. */
export function tufOf(material: TrustMaterial): TufRepositoryMaker {
  const tuf = new TufRepositoryMaker();
  tuf.targets.set("trusted_root.json", { content: Buffer.from(trustedRoot(material)) });
  return tuf.publish();
}
