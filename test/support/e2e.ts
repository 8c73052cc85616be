import { setTimeout as pause } from "node:timers/promises";
import { type ClusterHandle, requireNode, sharedCluster } from "./cluster.ts";
import { Cosign, type KeyPair } from "./cosign.ts";
import { applyNamespace } from "./namespaces.ts";

const POLL_MS = 200;
const VERIFIED: Readonly<Record<string, string>> = { "policy.sigstore.dev/include": "true" };
const REFUSALS = 3;

/**
 * How long a condition is awaited that comes within seconds where nothing is busy. Kubernetes itself may rest before it tries again: the kubelet
 * for 10 s, 20 s, 40 s and so on after a pull or a start that failed, up to a minute for clients of an API server that was restarted.
 */
export const PATIENCE_MS = 240_000;

export const NS = "cosign-system";
export const CACHE_JSONPATH = "{.metadata.annotations.clusterimagepolicies\\.chainguard\\.dev/cache}";

/** Asks until `probe` gives something other than undefined, and gives that. Rejects with the last reason after `ms`. */
export async function eventually<T>(what: string, ms: number, probe: () => Promise<T | undefined>): Promise<T> {
  const deadline = performance.now() + ms;
  let reason = "it never came about";
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined) return value;
    } catch (thrown) {
      reason = thrown instanceof Error ? thrown.message : String(thrown);
    }
    if (performance.now() > deadline) throw new Error(`${what}: not within ${ms} ms: ${reason}`);
    await pause(POLL_MS);
  }
}

/** Whether connecting was refused, by the error of undici or of `fetch`. */
export function isRefused(thrown: unknown): boolean {
  const { code, cause } = thrown as { code?: unknown; cause?: { code?: unknown } };
  return [code, cause?.code].includes("ECONNREFUSED");
}

/** Asks a NodePort as nodes do, which try again: of ready Pods that nobody touches, one connection in some thousands is refused. */
export async function fetchFromNode(url: string): Promise<Response> {
  for (let refusals = 0; ; ) {
    try {
      return await fetch(url, { signal: AbortSignal.timeout(20_000) });
    } catch (thrown) {
      refusals += 1;
      if (refusals > REFUSALS || !isRefused(thrown)) throw thrown;
    }
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

  /** Waits for a condition of an object that is there, e.g. `condition=Ready` of `pod/x`. */
  async wait(condition: string, object: string, ...more: readonly string[]): Promise<void> {
    await eventually(`${condition} of ${object}`, PATIENCE_MS, async () => {
      await this.kubectl("wait", `--for=${condition}`, object, "--timeout=20s", ...more);
      return true;
    });
  }

  /** Waits until a Deployment runs as it is declared now. */
  async rolledOut(deployment: string, namespace: string): Promise<void> {
    await eventually(`Deployment ${deployment} rolled out`, PATIENCE_MS, async () => {
      await this.kubectl("-n", namespace, "rollout", "status", `deployment/${deployment}`, "--timeout=20s");
      return true;
    });
  }

  /** Deletes what `kubectl delete` is told here, if it is there, and waits until it is gone. */
  async remove(...args: readonly string[]): Promise<void> {
    await eventually(`the end of ${args.join(" ")}`, PATIENCE_MS, async () => {
      await this.kubectl("delete", ...args, "--ignore-not-found", "--timeout=20s");
      return true;
    });
  }

  /** Turns the verification cache on or off. Replicas learn of it within moments. */
  async setFlag(on: boolean): Promise<void> {
    await this.apply(`
apiVersion: v1
kind: ConfigMap
metadata: {name: config-policy-controller, namespace: ${NS}}
data: {dev.chainguard.enable-cip-cache: "${on}"}`);
  }

  /** A namespace, whose workloads are verified unless other labels are given. */
  async namespace(name: string, labels = VERIFIED): Promise<void> {
    await applyNamespace(this.cluster, name, labels);
  }

  /** Resolves when Pods of a namespace that are made from now on have the imagePullSecrets of its ServiceAccount: the API server learns of it a moment later. */
  async pullSecretReaches(namespace: string, secret: string, image: string): Promise<void> {
    const path = "jsonpath={.spec.imagePullSecrets[*].name}";
    const rehearsal = ["run", "rehearsal", `--image=${image}`, "--dry-run=server", "-o", path];
    await eventually(`the pull Secret ${secret} on new Pods`, PATIENCE_MS, async () => {
      const names = await this.kubectl("-n", namespace, ...rehearsal);
      return names.split(" ").includes(secret) || undefined;
    });
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
    const pages = await eventually("the replicas' metrics", PATIENCE_MS, async () =>
      Promise.all(
        (await this.pods("webhook")).map((pod) =>
          this.kubectl("get", "--raw", `/api/v1/namespaces/${NS}/pods/${pod}:9090/proxy/metrics`),
        ),
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
