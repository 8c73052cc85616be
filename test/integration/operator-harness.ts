import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { dump, load } from "js-yaml";
import type { ConnectedKubeClient } from "../../adapters/kube/client.ts";
import { removeWebhooks } from "../../hack/local/product.ts";
import { freePort } from "../../hack/testcluster/controlplane.ts";
import { type ClusterHandle, sharedCluster } from "../support/cluster.ts";
import { install } from "../support/install.ts";
import { adminClient, eventually } from "../support/kube.ts";
import { FakeKubelet, FakePages } from "./operator-fakes.ts";

export const NAMESPACE = "cosign-system";
const ROOT = join(import.meta.dirname, "../..");
const WRITES = new Set(["create", "update", "apply", "patch", "delete"]);

/** An address of this machine that an EndpointSlice may hold: not loopback. Traffic to it does not leave the machine. */
export function ownAddress(): string | undefined {
  return Object.values(networkInterfaces())
    .flat()
    .find((address) => address !== undefined && address.family === "IPv4" && !address.internal)?.address;
}

/** A kubeconfig that has a ServiceAccount's own token (TokenRequest) in place of the administrator's certificate. */
export async function serviceAccountKubeconfig(cluster: ClusterHandle, account: string): Promise<string> {
  const token = (await cluster.kubectl(["-n", NAMESPACE, "create", "token", account, "--duration=1h"])).trim();
  const config = load(readFileSync(cluster.kubeconfig, "utf8")) as { users: { name: string; user: object }[] };
  for (const user of config.users) user.user = { token };
  const path = join(mkdtempSync(join(tmpdir(), "entrepot-operator-")), "kubeconfig");
  writeFileSync(path, dump(config), { mode: 0o600 });
  process.once("exit", () => rmSync(join(path, ".."), { recursive: true, force: true }));
  return path;
}

/** The operator in a process of its own, as the image runs it, so that it can be killed. */
export class OperatorProcess {
  readonly #env: NodeJS.ProcessEnv;
  readonly #flags: readonly string[];
  #child: ChildProcess | undefined;
  #log = "";

  /** Unless `flags` say otherwise, it reads nothing from outside. */
  constructor(env: NodeJS.ProcessEnv, flags: readonly string[] = ["--disable-tuf"]) {
    this.#env = env;
    this.#flags = flags;
  }

  /** Everything that it has logged, over all its lives. */
  get log(): string {
    return this.#log;
  }

  /** Throws, with the end of its log, when it has ended by itself: nothing is to be waited for then. */
  mustLive(): void {
    if (this.#child === undefined || (this.#child.exitCode === null && this.#child.signalCode === null)) return;
    throw new Error(`the operator ended:\n${this.#log.slice(-3000)}`);
  }

  async start(): Promise<void> {
    const child = spawn(process.execPath, [join(ROOT, "main.ts"), "operator", ...this.#flags], {
      env: this.#env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk: Buffer) => {
        this.#log += chunk.toString();
      });
    }
    await eventually("the operator is ready", async () => {
      this.mustLive();
      return await fetch(`http://127.0.0.1:${this.#env["STATUS_PORT"]}/readyz`).then(
        ({ ok }) => ok,
        () => false,
      );
    });
  }

  async stop(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    await once(child, "exit");
  }

  /** The most memory that this life of it has had, in MB (resident). */
  get peakMegabytes(): number {
    const status = readFileSync(`/proc/${this.#child?.pid}/status`, "utf8");
    return Number(/^VmHWM:\s+([0-9]+) kB$/m.exec(status)?.[1]) / 1_024;
  }

  /** The sum of the samples of a metric that have all of these labels. */
  async sample(metric: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    const text = await this.#metrics();
    const wanted = Object.entries(labels).map(([name, value]) => `${name}="${value}"`);
    return text
      .split("\n")
      .filter((line) => line.startsWith(metric) && /[{ ]/.test(line.charAt(metric.length)))
      .filter((line) => wanted.every((label) => line.includes(label)))
      .reduce((total, line) => total + Number(line.slice(line.lastIndexOf(" "))), 0);
  }

  /** Resolves when it has written nothing for a second and a half: the last Event comes after the last status. Gives the count of `writes`. */
  async atRest(): Promise<number> {
    const { writes } = await eventually("the operator's last writes are over", async () => {
      const count = await this.writes();
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      return count === (await this.writes()) ? { writes: count } : undefined;
    });
    return writes;
  }

  async #metrics(): Promise<string> {
    const get = () => fetch(this.metricsUrl);
    const response = await get().catch(get); // a kept connection may be to the process before
    return await response.text();
  }

  get metricsUrl(): string {
    return `http://127.0.0.1:${this.#env["STATUS_PORT"]}/metrics`;
  }

  /** Requests to the API server that wrote something, by its own metrics; renewals of the lease are not counted. */
  async writes(): Promise<number> {
    const text = await this.#metrics();
    const samples = text.matchAll(/^entrepot_kube_requests_total\{(.*)\} ([0-9]+)$/gm);
    return [...samples].reduce((total, [, labels = "", value]) => {
      const verb = /verb="([^"]*)"/.exec(labels)?.[1] ?? "";
      return WRITES.has(verb) && !labels.includes('resource="leases"') ? total + Number(value) : total;
    }, 0);
  }
}

/** The operator's Pods as kubectl names them, `pod/NAME`. */
async function operatorPods(cluster: ClusterHandle): Promise<readonly string[]> {
  const which = ["-n", NAMESPACE, "get", "pods", "-l", "app.kubernetes.io/component=operator", "-o", "name"];
  return (await cluster.kubectl(which)).split("\n").filter((name) => name !== "");
}

/** Deletes the product's Deployments and Secrets; resolves when the operator's Pods are gone, which the next stage would take for its own. */
export async function removeWorkloads(cluster: ClusterHandle): Promise<void> {
  for (const kind of ["deployment", "secret"]) await cluster.kubectl(["-n", NAMESPACE, "delete", kind, "--all"]);
  await eventually("the end of the operator's Pods", async () => (await operatorPods(cluster)).length === 0);
}

/** An operator on the shared cluster's API server, with what stands for kubelets and replicas. */
export interface OperatorStage {
  readonly cluster: ClusterHandle;
  readonly client: ConnectedKubeClient;
  readonly operator: OperatorProcess;
  readonly kubelet: FakeKubelet;
  readonly pages: FakePages;
  /** Ends the operator, and takes away what the stage made but the namespace and its rights, which other tests of this run use. */
  stop(): Promise<void>;
}

/** Why there can be no stage on a cluster; undefined when there can. */
function obstacle(cluster: ClusterHandle): string | undefined {
  if (cluster.hasNode) return "an operator of its own runs in this cluster already";
  return ownAddress() === undefined ? "this machine has no address but loopback" : undefined;
}

export interface StageOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** In place of the one that suites share. */
  readonly cluster?: ClusterHandle;
  /** Called before the operator starts: a policy can't be made later, while its webhook has no replica that answers. */
  readonly prepare?: (cluster: ClusterHandle) => Promise<void>;
}

/**
 * Installs the product's objects and starts the operator as a process with its own ServiceAccount's rights, for the gateway pages of
 * `registry`. Undefined, with a word on the console, where that can't be.
 */
export async function operatorStage(
  title: string | undefined,
  registry: string,
  { env = {}, cluster: given, prepare }: StageOptions = {},
): Promise<OperatorStage | undefined> {
  const cluster = given ?? (await sharedCluster());
  const address = ownAddress();
  const why = obstacle(cluster);
  if (why !== undefined || address === undefined) {
    console.error(`      skipped: ${title}: ${why}`);
    return undefined;
  }
  const client = await adminClient(cluster);
  await install(cluster, "deploy/dev");
  await removeWebhooks(cluster);
  await prepare?.(cluster);
  const pages = new FakePages();
  const pod = await eventually("the operator's Pod", async () => (await operatorPods(cluster))[0]);
  const operator = new OperatorProcess({
    PATH: process.env["PATH"],
    KUBECONFIG: await serviceAccountKubeconfig(cluster, "operator"),
    POD_NAME: pod.replace("pod/", ""),
    STATUS_PORT: String(await freePort()),
    STATUS_PAGES_PORT: String(await pages.start(address, registry)),
    HEALTHY_INTERVAL: "1s",
    UNHEALTHY_INTERVAL: "1s",
    LEASE_DURATION: "20s",
    ...env,
  });
  const stop = async (signal: NodeJS.Signals = "SIGTERM") => {
    await operator.stop(signal);
    await pages.stop();
    await removeWebhooks(cluster);
    await removeWorkloads(cluster);
    const slices = ["endpointslice", "-l", "endpointslice.kubernetes.io/managed-by=operator-test"];
    await cluster.kubectl(["-n", NAMESPACE, "delete", ...slices]);
    await client.close();
  };
  await operator.start().catch(async (thrown: unknown) => {
    await stop("SIGKILL").catch(() => undefined); // nobody would hold it; why it did not start is what counts
    throw thrown;
  });
  return { cluster, client, operator, kubelet: new FakeKubelet(cluster, client, NAMESPACE, address), pages, stop };
}
