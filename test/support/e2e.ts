import { setTimeout as pause } from "node:timers/promises";
import { type ClusterHandle, requireNode, sharedCluster } from "./cluster.ts";
import { Cosign, type KeyPair } from "./cosign.ts";

const POLL_MS = 200;
export const NS = "cosign-system";
export const CACHE_JSONPATH = "{.metadata.annotations.clusterimagepolicies\\.chainguard\\.dev/cache}";

/** Asks until `probe` gives something other than undefined, and gives that. Rejects with the last reason after `ms`. */
export async function eventually<T>(what: string, ms: number, probe: () => Promise<T | undefined>): Promise<T> {
  const deadline = Date.now() + ms;
  let reason = "it never came about";
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined) return value;
    } catch (thrown) {
      reason = thrown instanceof Error ? thrown.message : String(thrown);
    }
    if (Date.now() > deadline) throw new Error(`${what}: not within ${ms} ms: ${reason}`);
    await pause(POLL_MS);
  }
}

/** The installed product on a real node, with what every e2e test needs. Skips, by name, where there is no node. */
export class Stage {
  readonly cluster: ClusterHandle;
  readonly cosign: Cosign;
  readonly keys: KeyPair;

  private constructor(cluster: ClusterHandle, cosign: Cosign, keys: KeyPair) {
    this.cluster = cluster;
    this.cosign = cosign;
    this.keys = keys;
  }

  static async open(context: Mocha.Context): Promise<Stage> {
    context.timeout(0);
    const cluster = await sharedCluster();
    requireNode(context, cluster);
    const cosign = await Cosign.create();
    return new Stage(cluster, cosign, await cosign.generateKeyPair("e2e"));
  }

  kubectl(...args: readonly string[]): Promise<string> {
    return this.cluster.kubectl(args);
  }

  /** Applies a manifest. Rejects with kubectl's words. */
  apply(manifest: string): Promise<string> {
    return this.cluster.kubectl(["apply", "-f", "-"], manifest);
  }

  /** What kubectl says when the manifest is refused; rejects if it is not. */
  async refusal(manifest: string): Promise<string> {
    const { code, stdout, stderr } = await this.cluster.run([this.cluster.program("kubectl"), "apply", "-f", "-"], {
      input: manifest,
    });
    if (code === 0) throw new Error(`it was not refused: ${stdout}`);
    return stderr;
  }

  async wait(condition: string, object: string, seconds = 60, ...more: readonly string[]): Promise<void> {
    await this.kubectl("wait", `--for=${condition}`, object, `--timeout=${seconds}s`, ...more);
  }

  /** Turns the verification cache on or off and waits until both replicas know. */
  async setFlag(on: boolean): Promise<void> {
    await this.apply(`
apiVersion: v1
kind: ConfigMap
metadata: {name: config-policy-controller, namespace: ${NS}}
data: {dev.chainguard.enable-cip-cache: "${on}"}`);
  }

  /** A namespace whose workloads are verified. */
  async namespace(name: string): Promise<void> {
    await this.apply(`
apiVersion: v1
kind: Namespace
metadata: {name: ${name}, labels: {policy.sigstore.dev/include: "true"}}`);
  }

  /** A policy that asks for this stage's key on a repository prefix of the plain registry; resolves when every replica enforces it. */
  async policy(name: string, prefix: string, mode = "enforce"): Promise<void> {
    await this.apply(`
apiVersion: policy.sigstore.dev/v1beta1
kind: ClusterImagePolicy
metadata: {name: ${name}}
spec:
  mode: ${mode}
  images: [{glob: "${this.cluster.registry}/${prefix}/**"}]
  authorities:
  - key:
      data: |
${indent(this.keys.publicKey, 8)}`);
    await this.wait("condition=Ready", `clusterimagepolicy/${name}`);
  }

  /** Pushes an image to the plain registry and signs it as cosign's older versions did. */
  async signedImage(repository: string, tag = "v1"): Promise<{ readonly reference: string; readonly digest: string }> {
    const image = await this.cluster.pushImage({ repository, tag });
    await this.sign(image.pinned, "--new-bundle-format=false");
    return image;
  }

  /** Signs in a plain HTTP registry under a `.local` name. */
  async sign(pinned: string, ...flags: readonly string[]): Promise<void> {
    const offline = ["--use-signing-config=false", "--tlog-upload=false", "--allow-http-registry", "--yes"];
    await this.cosign.run("sign", "--key", this.keys.key, ...offline, ...flags, pinned);
  }

  /** Attests a predicate about an image there, in cosign's default form. */
  async attest(pinned: string, type: string, predicate: object): Promise<void> {
    const offline = ["--use-signing-config=false", "--tlog-upload=false", "--allow-http-registry", "--yes"];
    const file = this.cosign.file("predicate.json", JSON.stringify(predicate));
    await this.cosign.run("attest", "--key", this.keys.key, ...offline, "--type", type, "--predicate", file, pinned);
  }

  /** Requests of the webhook to the plain registry about one repository. */
  webhookRequests(repository: string): readonly string[] {
    return this.cluster
      .requests()
      .filter(({ path, userAgent }) => userAgent.startsWith("entrepot") && path.startsWith(`/v2/${repository}/`))
      .map(({ method, path }) => `${method} ${path}`);
  }

  /** The names of a component's Pods. */
  async pods(component: string): Promise<readonly string[]> {
    const names = await this.kubectl(
      "-n",
      NS,
      "get",
      "pods",
      "-l",
      `app.kubernetes.io/component=${component}`,
      "-o",
      "name",
    );
    return names.split("\n").flatMap((name) => (name === "" ? [] : [name.replace("pod/", "")]));
  }

  /** The sum of a metric's samples whose labels contain `labels`, over all replicas of the webhook. */
  async metric(name: string, labels: string): Promise<number> {
    const pages = await Promise.all(
      (await this.pods("webhook")).map((pod) =>
        this.kubectl("get", "--raw", `/api/v1/namespaces/${NS}/pods/${pod}:9090/proxy/metrics`),
      ),
    );
    const samples = pages
      .flatMap((page) => page.split("\n"))
      .filter((line) => line.startsWith(name) && line.includes(labels));
    return samples.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
  }

  close(): void {
    this.cosign.dispose();
  }
}

function indent(text: string, columns: number): string {
  return text.trimEnd().replace(/^/gm, " ".repeat(columns));
}
