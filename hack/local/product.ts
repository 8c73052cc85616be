// The product as processes against a control plane: for machines where no node can run, and for tests that need none.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { ensurePolicyEngine } from "../policy-engine.ts";
import { freePorts } from "../testcluster/controlplane.ts";
import type { ClusterHandle } from "../testcluster/handle.ts";
import { settingsFrom } from "../testcluster/settings.ts";

const ROOT = join(import.meta.dirname, "../..");
const NAMESPACE = "cosign-system";
const START_MS = 180_000;
const END_MS = 30_000;

export type Part = "operator" | "webhook" | "gateway";

/** The product, running. */
export class LocalProduct {
  readonly #cluster: ClusterHandle;
  readonly #running = new Map<Part, ChildProcess>();
  readonly #ports: Readonly<Record<"https" | "webhook" | "operator" | "gateway" | "registry", number>>;
  readonly #gateway: GatewayOptions | undefined;
  readonly #extra: Extra;

  private constructor(
    cluster: ClusterHandle,
    ports: readonly number[],
    gateway: GatewayOptions | undefined,
    extra: Extra,
  ) {
    const [https = 0, webhook = 0, operator = 0, gatewayStatus = 0, registry = 0] = ports;
    this.#cluster = cluster;
    this.#ports = { https, webhook, operator, gateway: gatewayStatus, registry };
    this.#gateway = gateway;
    this.#extra = extra;
  }

  /** Applies the custom resources and starts every part; resolves when admission is in force. */
  static async start(cluster: ClusterHandle, gateway?: GatewayOptions, extra: Extra = {}): Promise<LocalProduct> {
    const product = new LocalProduct(cluster, await freePorts(5), gateway, extra);
    await cluster.kubectl(["apply", "--server-side", "-k", join(ROOT, "crds")]);
    await cluster.kubectl(["apply", "-f", "-"], product.#manifests());
    try {
      await product.startPart("operator");
      await product.startPart("webhook");
      if (gateway !== undefined) await product.startPart("gateway");
    } catch (thrown) {
      await product.remove().catch(() => undefined); // what nobody holds would go on refusing, or putting its webhooks into the cluster
      throw thrown;
    }
    return product;
  }

  /** `host:port` of the gateway. */
  get pullHost(): string {
    return `127.0.0.1:${this.#ports.registry}`;
  }

  /** The text of a part's metrics page. */
  async metrics(part: Part): Promise<string> {
    return await (await fetch(`http://127.0.0.1:${this.#ports[part]}/metrics`)).text();
  }

  /** Starts a part and waits until it is ready. */
  async startPart(part: Part): Promise<void> {
    // Nothing that runs here by default asks the network for the public-good instance's root.
    const { flags = part === "operator" ? ["--disable-tuf"] : [], env = {} } = this.#extra[part] ?? {};
    const engine = part === "webhook" ? { POLICY_ENGINE: await ensurePolicyEngine(settingsFrom(process.env)) } : {};
    const child = spawn(process.execPath, [join(ROOT, "main.ts"), part, ...flags], {
      env: {
        ...process.env,
        KUBECONFIG: this.#cluster.kubeconfig,
        SYSTEM_NAMESPACE: NAMESPACE,
        DRAIN_MS: "100",
        ...this.#env(part),
        ...engine,
        ...env,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const log = createWriteStream(this.#cluster.logPath(part), { flags: "a" });
    child.stdout.pipe(log);
    child.stderr.pipe(log);
    this.#running.set(part, child);
    const deadline = Date.now() + START_MS;
    while (!(await this.#isReady(part))) {
      if (child.exitCode !== null || Date.now() > deadline)
        throw new Error(`${part} does not become ready: see ${this.#cluster.logPath(part)}`);
      await pause(100);
    }
  }

  /** Ends a part with `signal` and waits until it is gone. */
  async stopPart(part: Part, signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const child = this.#running.get(part);
    this.#running.delete(part);
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill(signal);
    const late = setTimeout(() => child.kill("SIGKILL"), END_MS);
    await ended;
    clearTimeout(late);
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#running.keys()].map((part) => this.stopPart(part)));
  }

  /** Stops it and takes away what it left in the cluster; the custom resource definitions stay. */
  async remove(): Promise<void> {
    await this.stop(); // while the operator lives it puts the webhook configurations back
    await removeWebhooks(this.#cluster);
    await this.#cluster.kubectl(["-n", NAMESPACE, "delete", ...LEFT, "--ignore-not-found"]);
  }

  async #isReady(part: Part): Promise<boolean> {
    try {
      return (await fetch(`http://127.0.0.1:${this.#ports[part]}/readyz`, { signal: AbortSignal.timeout(2_000) })).ok;
    } catch {
      return false; // it does not listen yet
    }
  }

  #env(part: Part): Readonly<Record<string, string>> {
    const { https, webhook, registry } = this.#ports;
    const status = { STATUS_PORT: String(this.#ports[part]) };
    switch (part) {
      case "operator":
        return {
          ...status,
          GATEWAY_IMAGE: "entrepot:none",
          WEBHOOK_SERVICE_PORT: String(https),
          STATUS_PAGES_PORT: String(webhook),
        };
      case "webhook":
        return { ...status, HTTPS_PORT: String(https) };
      case "gateway":
        return {
          ...status,
          REGISTRY_NAME: this.#gateway?.registry ?? "",
          REGISTRY_PORT: String(registry),
          BACKEND_ORIGINS: JSON.stringify(this.#gateway?.origins ?? {}),
        };
    }
  }

  /** The API server follows a Service of type ExternalName by itself; the EndpointSlice tells the operator where replicas are. */
  #manifests(): string {
    const address = Object.values(networkInterfaces())
      .flat()
      .find((found) => found?.family === "IPv4" && !found.internal)?.address;
    const slice =
      address === undefined
        ? ""
        : `
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: webhook-local, namespace: ${NAMESPACE}, labels: {kubernetes.io/service-name: webhook}}
addressType: IPv4
endpoints: [{addresses: ["${address}"], conditions: {ready: true}}]`;
    return `
apiVersion: v1
kind: Namespace
metadata: {name: ${NAMESPACE}}
---
apiVersion: v1
kind: Service
metadata: {name: webhook, namespace: ${NAMESPACE}}
spec: {type: ExternalName, externalName: localhost}${slice}`;
  }
}

/** What the product leaves in the system namespace. */
const LEFT = [
  "service/webhook",
  "configmap/config-policy-controller",
  "configmap/config-sigstore-keys",
  "configmap/public-good-trusted-root",
  "configmap/entrepot-seal-keys-public",
  "secret/webhook-certs",
  "secret/entrepot-seal-keys",
];

/** Takes the product's webhook configurations away: without a webhook behind them every write they cover fails. */
export async function removeWebhooks(cluster: Pick<ClusterHandle, "kubectl">): Promise<void> {
  const kinds = "validatingwebhookconfigurations,mutatingwebhookconfigurations";
  await cluster.kubectl(["delete", kinds, "-l", "app.kubernetes.io/managed-by=entrepot"]);
}

/** Flags and environment variables of parts, beside those that they need here. */
export type Extra = Partial<
  Record<Part, { readonly flags?: readonly string[]; readonly env?: Readonly<Record<string, string>> }>
>;

export interface GatewayOptions {
  /** Name of the CacheRegistry that it serves. */
  readonly registry: string;
  /** Upstream host → where its proxy listens. */
  readonly origins: Readonly<Record<string, string>>;
}
