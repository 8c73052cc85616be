import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import { CACHE_ANNOTATION } from "../../core/cache/record.ts";
import { LocalProduct } from "../../hack/local/product.ts";
import { ensurePolicyEngine } from "../../hack/policy-engine.ts";
import { freePorts } from "../../hack/testcluster/controlplane.ts";
import { ApiServer } from "../support/api-server.ts";
import { type ClusterHandle, sharedCluster } from "../support/cluster.ts";
import { Cosign, type KeyPair } from "../support/cosign.ts";
import { eventually } from "../support/kube.ts";
import { applyNamespace } from "../support/namespaces.ts";
import { TcpDoor } from "../support/tcp-door.ts";
import { type Item, type Kind, type Plural, pathOf, workload } from "./inheritance-objects.ts";

const ROOT = join(import.meta.dirname, "../..");
const NS = "cosign-system";
const CACHE_ON = { "dev.chainguard.enable-cip-cache": "true" };

interface Observed {
  readonly metadata: { readonly generation?: number };
  readonly status?: { readonly observedGeneration?: number };
}

interface Ports {
  readonly door: number;
  readonly first: number;
  readonly second: number;
  readonly status: number;
}

/**
 * The product before a real API server and controllers, with a door between them that leads to one webhook replica or the other.
 * A folder of the plain registry, a policy and a namespace are named after the test file.
 */
export class Inheritance {
  readonly name: string;
  readonly cluster: ClusterHandle;
  readonly cosign: Cosign;
  readonly keys: KeyPair;
  readonly product: LocalProduct;
  readonly #api: ApiServer;
  readonly #ports: Ports;
  readonly #logged: number;
  #door: TcpDoor | undefined;
  #second: ChildProcess | undefined;
  #probe: string | undefined;

  private constructor(
    parts: Pick<Inheritance, "name" | "cluster" | "cosign" | "keys" | "product">,
    api: ApiServer,
    ports: Ports,
  ) {
    this.name = parts.name;
    this.cluster = parts.cluster;
    this.cosign = parts.cosign;
    this.keys = parts.keys;
    this.product = parts.product;
    this.#api = api;
    this.#ports = ports;
    this.#logged = parts.cluster.requests().length;
  }

  /** Starts everything, with the cache on and a policy that asks for `keys` on every image below `name/`. */
  static async open(name: string): Promise<Inheritance> {
    const cluster = await sharedCluster();
    const cosign = await Cosign.create();
    const keys = await cosign.generateKeyPair(name);
    const [door = 0, first = 0, second = 0, status = 0] = await freePorts(4);
    const api = await ApiServer.connect(cluster.kubeconfig);
    const product = await LocalProduct.start(cluster, undefined, {
      operator: { flags: ["--disable-tuf"], env: { WEBHOOK_SERVICE_PORT: String(door) } },
      webhook: { env: { HTTPS_PORT: String(first) } },
    });
    const harness = new Inheritance({ name, cluster, cosign, keys, product }, api, { door, first, second, status });
    try {
      harness.#door = await TcpDoor.open(door, first);
      await applyNamespace(cluster, name, { "policy.sigstore.dev/include": "true" });
      await harness.policy(name, `${name}/**`, { data: keys.publicKey });
      await harness.configure();
    } catch (thrown) {
      await harness.close().catch(() => undefined); // nobody would hold it; why it did not come up is what counts
      throw thrown;
    }
    return harness;
  }

  async close(): Promise<void> {
    await this.endSecondReplica();
    await this.product.remove();
    this.#door?.close();
    await this.#api.close();
    this.cosign.dispose();
    await this.cluster.kubectl(["delete", "namespace", "-l", `made-by=${this.name}`, "--wait=false"]);
    await this.cluster.kubectl(["delete", "namespace", this.name, "--wait=false", "--ignore-not-found"]);
    await this.cluster.kubectl(["delete", "cip", "-l", `made-by=${this.name}`, "--wait=false"]);
  }

  kubectl(...args: readonly string[]): Promise<string> {
    return this.cluster.kubectl(["-n", this.name, ...args]);
  }

  /** What kubectl says when it fails; rejects when it does not. */
  async refusal(args: readonly string[], input?: object): Promise<string> {
    const text = input === undefined ? {} : { input: JSON.stringify(input) };
    const done = await this.cluster.run([this.cluster.program("kubectl"), "-n", this.name, ...args], text);
    if (done.code === 0) throw new Error(`kubectl ${args.join(" ")} was not refused: ${done.stdout}`);
    return done.stderr;
  }

  async apply(object: object): Promise<void> {
    await this.cluster.kubectl(["-n", this.name, "apply", "-f", "-"], JSON.stringify(object));
  }

  /** Creates an object on trial; gives it as it would be. */
  async dryRun(object: object): Promise<Item> {
    const { kind } = object as { readonly kind: Kind };
    const path = pathOf(`${kind.toLowerCase() as Lowercase<Kind>}s`, this.name);
    return (await this.#api.must({ method: "POST", path, body: object, dryRun: true })) as Item;
  }

  /** The object `kind/name`. */
  async get(what: string): Promise<Item> {
    const [kind = "", name = ""] = what.toLowerCase().split("/");
    const path = `${pathOf(`${kind as Lowercase<Kind>}s`, this.name)}/${name}`;
    return (await this.#api.must({ method: "GET", path })) as Item;
  }

  /** The objects of a kind with the label `app`, but those that are being deleted. */
  async list(kind: Plural, app: string): Promise<readonly Item[]> {
    const path = `${pathOf(kind, this.name)}?labelSelector=app%3D${app}`;
    const { items } = (await this.#api.must({ method: "GET", path })) as { items: Item[] };
    return items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  }

  /** The Pods of `app` once there are `count`. */
  pods(app: string, count: number, ms = 90_000): Promise<readonly Item[]> {
    return eventually(
      `${count} Pods of ${app}`,
      async () => {
        const pods = await this.list("pods", app);
        return pods.length === count && pods;
      },
      ms,
    );
  }

  /** Waits until the controller of `kind/name` goes by its present template. */
  async observed(what: string): Promise<void> {
    await eventually(`${what} observed`, async () => {
      const { metadata, status } = (await this.get(what)) as Observed;
      return status?.observedGeneration === metadata.generation;
    });
  }

  /** Why the controller of `app`'s ReplicaSet cannot make Pods. */
  failure(app: string): Promise<string> {
    return eventually(`a refused Pod of ${app}`, async () => {
      const sets = await this.list("replicasets", app);
      const conditions = sets.flatMap(({ status }) => status?.conditions ?? []);
      return conditions.find(({ type, status }) => type === "ReplicaFailure" && status === "True")?.message;
    });
  }

  /** A policy on the plain registry's images that match `glob`; resolves once every replica enforces it. */
  async policy(name: string, glob: string, key: object, more: object = {}): Promise<void> {
    await this.apply({
      apiVersion: "policy.sigstore.dev/v1beta1",
      kind: "ClusterImagePolicy",
      metadata: { name, labels: { "made-by": this.name } },
      spec: { images: [{ glob: `${this.cluster.registry}/${glob}` }], authorities: [{ key, ...more }] },
    });
    await this.cluster.kubectl(["wait", "--for=condition=Ready", `cip/${name}`, "--timeout=90s"]);
  }

  /** Replaces the configuration; resolves once the replica behind the door goes by it. Its epoch tells. */
  async configure(data: Readonly<Record<string, string>> = {}): Promise<void> {
    const epoch = data["dev.entrepot.cache-epoch"] ?? "1";
    const all = { ...CACHE_ON, "dev.entrepot.cache-epoch": epoch, ...data };
    const metadata = { name: "config-policy-controller", namespace: NS };
    await this.cluster.kubectl(
      ["apply", "-f", "-"],
      JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata, data: all }),
    );
    this.#probe ??= (await this.signed(`${this.name}/probe`)).reference;
    const pod = workload("Pod", "probe", this.#probe);
    const isOn = all["dev.chainguard.enable-cip-cache"] === "true";
    const wanted = (seal: string) => (isOn ? new RegExp(`epoch: "?${epoch}"?\n`).test(seal) : seal === "");
    // Refused while the namespace has no ServiceAccount: its controller rests where the API server was restarted.
    const probed = () =>
      this.dryRun(pod).then(
        (object) => wanted(sealOf(object) ?? ""),
        () => false,
      );
    await eventually(`epoch ${epoch}`, probed);
  }

  /** Pushes an image and signs it with this file's key. */
  async signed(repository: string, tag = "v1"): Promise<{ reference: string; pinned: string; digest: string }> {
    const image = await this.cluster.pushImage({ repository, tag });
    await this.cosign.sign(image.pinned, this.keys, "classic");
    return image;
  }

  /** How many requests webhooks have made about a repository, or about any, since this was opened. */
  requests(repository = ""): number {
    const path = repository === "" ? "/v2/" : `/v2/${repository}/`;
    return this.cluster
      .requests()
      .slice(this.#logged)
      .filter((entry) => entry.userAgent.startsWith("entrepot") && entry.path.startsWith(path)).length;
  }

  /** Kills the first replica and starts it again: its memory is gone. */
  async restartWebhook(): Promise<void> {
    await this.product.stopPart("webhook", "SIGKILL");
    await this.product.startPart("webhook");
  }

  /** Starts another replica, which knows nothing yet, and leads the API server to it alone. `variables` are of its environment. */
  async toSecondReplica(variables: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.endSecondReplica(); // a test that failed may have left one
    const env = {
      ...process.env,
      KUBECONFIG: this.cluster.kubeconfig,
      SYSTEM_NAMESPACE: NS,
      DRAIN_MS: "100",
      HTTPS_PORT: String(this.#ports.second),
      STATUS_PORT: String(this.#ports.status),
      POLICY_ENGINE: await ensurePolicyEngine(this.cluster.settings),
      ...variables,
    };
    const child = spawn(process.execPath, [join(ROOT, "main.ts"), "webhook"], {
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const log = createWriteStream(this.cluster.logPath("webhook-second"), { flags: "a" });
    child.stdout.pipe(log);
    child.stderr.pipe(log);
    this.#second = child;
    const status = `http://127.0.0.1:${this.#ports.status}/readyz`;
    const isReady = () =>
      fetch(status)
        .then(({ ok }) => ok)
        .catch(() => false);
    await eventually("the second replica", isReady);
    await this.lead("second");
  }

  /** Leads the API server to one of two replicas that both run, or to them in turn. */
  async lead(...to: readonly ("first" | "second")[]): Promise<void> {
    await this.#door?.lead(...to.map((replica) => this.#ports[replica]));
  }

  /** A counter of the second replica. */
  async secondReplicasCounter(name: string): Promise<number> {
    const page = await (await fetch(`http://127.0.0.1:${this.#ports.status}/metrics`)).text();
    return counter(page, name);
  }

  /** Ends the second replica and leads the API server back to the first. */
  async endSecondReplica(): Promise<void> {
    await this.lead("first");
    const child = this.#second;
    this.#second = undefined;
    if (child === undefined || child.exitCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }

  /** Asks an endpoint of the first replica by itself, as nobody but the API server should. */
  async post(path: string, review: object): Promise<{ allowed: boolean; status?: { message?: string } }> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const options = { host: "127.0.0.1", port: this.#ports.first, path, method: "POST", rejectUnauthorized: false };
    const asked = request(options, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part: string) => (text += part));
      response.on("end", () => resolve(text)).on("error", reject);
    });
    asked.on("error", reject).end(JSON.stringify(review));
    const answer = JSON.parse(await promise) as { response: { allowed: boolean; status?: { message?: string } } };
    return answer.response;
  }
}

/** The sum of a counter's samples on a metrics page; `labels` must be among theirs. */
export function counter(page: string, name: string, labels = ""): number {
  const samples = page.split("\n").filter((line) => line.startsWith(name) && line.includes(labels));
  return samples.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
}

/** The cache annotation of an object. */
export function sealOf({ metadata }: Item): string | undefined {
  return metadata.annotations?.[CACHE_ANNOTATION];
}
