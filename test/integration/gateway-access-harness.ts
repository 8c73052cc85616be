// A gateway as its own process, with the rights that the installation gives it, a real API server, and an access Secret as the kubelet mounts it.

import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dump, load, loadAll } from "js-yaml";
import type { ConnectedKubeClient } from "../../adapters/kube/client.ts";
import type { KubeObject } from "../../adapters/kube/types.ts";
import type { SecretContent } from "../../core/cacheregistry/credentials.ts";
import { PasswordHashes } from "../../core/gatewayaccess/passwords.ts";
import { accessDocument, type GatewayAccess } from "../../core/gatewayaccess/resolve.ts";
import type { GatewaySpec } from "../../core/gatewayaccess/types.ts";
import { CACHE_REGISTRIES, CACHE_RULES } from "../../crds/index.ts";
import { freePort } from "../../hack/testcluster/controlplane.ts";
import { type ClusterHandle, sharedCluster } from "../support/cluster.ts";
import { install } from "../support/install.ts";
import { adminClient, eventually, freshNamespace } from "../support/kube.ts";
import type { Cleanup } from "./gateway-harness.ts";

const ROOT = join(import.meta.dirname, "../..");

/** A Secret of type kubernetes.io/basic-auth. */
export function basicAuth(name: string, username: string, password: string): SecretContent {
  const data = { username, password };
  const encoded = Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString("base64")]);
  return { metadata: { name }, type: "kubernetes.io/basic-auth", data: Object.fromEntries(encoded) as typeof data };
}

export function basic(username: string, password: string): Record<string, string> {
  return { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}` };
}

/** The files of a mounted Secret: changed all at once, by swapping a link. */
export class Mount {
  readonly directory: string;
  #version = 0;

  constructor(cleanup: Cleanup) {
    this.directory = mkdtempSync(join(tmpdir(), "entrepot-mount-"));
    cleanup.add(() => rmSync(this.directory, { recursive: true, force: true }));
  }

  write(files: Readonly<Record<string, string>>): void {
    const name = `..version-${++this.#version}`;
    mkdirSync(join(this.directory, name));
    for (const [file, text] of Object.entries(files)) writeFileSync(join(this.directory, name, file), text);
    symlinkSync(name, join(this.directory, "..data_tmp"));
    renameSync(join(this.directory, "..data_tmp"), join(this.directory, "..data"));
    rmSync(join(this.directory, `..version-${this.#version - 1}`), { recursive: true, force: true });
  }
}

export interface StageOptions {
  readonly spec?: Partial<GatewaySpec>;
  readonly upstreams?: readonly { readonly host: string; readonly credentials?: object }[];
  /** Upstream host → its proxy. */
  readonly origins: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
}

export class AccessStage {
  readonly registry = `access-${randomBytes(4).toString("hex")}`;
  readonly mount: Mount;
  readonly secrets = new Map<string, SecretContent>();
  readonly hashes = new PasswordHashes();
  cluster!: ClusterHandle;
  client!: ConnectedKubeClient;
  namespace = "";
  origin = "";
  statusOrigin = "";
  output = "";
  #child: ChildProcess | undefined;
  readonly #cleanup: Cleanup;
  readonly #options: StageOptions;

  constructor(cleanup: Cleanup, options: StageOptions) {
    this.#cleanup = cleanup;
    this.#options = options;
    this.mount = new Mount(cleanup);
  }

  /** Cluster, custom resources, CacheRegistry; no gateway yet. Call it in `before` with `this.timeout(0)`. */
  async open(): Promise<void> {
    this.cluster = await sharedCluster();
    this.client = await adminClient(this.cluster);
    this.#cleanup.add(() => this.client.close());
    await install(this.cluster, "crds");
    this.namespace = await freshNamespace(this.client, "access");
    this.#cleanup.add(() => this.cluster.kubectl(["delete", `namespace/${this.namespace}`, "--wait=false"]));
    await this.createRegistry();
  }

  async createRegistry(): Promise<void> {
    await this.client.create(CACHE_REGISTRIES, this.#registryObject(this.#options.spec ?? {}));
    this.#cleanup.add(() => this.client.delete(CACHE_REGISTRIES, this.registry));
  }

  #registryObject(spec: Partial<GatewaySpec>): KubeObject {
    const inCluster = { pullHost: "127.0.0.1:5000", storage: { emptyDir: {} }, ...spec };
    const object = {
      apiVersion: "entrepot.dev/v1alpha1",
      kind: "CacheRegistry",
      metadata: { name: this.registry },
      spec: { inCluster, upstreams: this.#options.upstreams ?? [] },
    };
    return object;
  }

  /** Changes `spec` of the CacheRegistry (merge patch). */
  async patch(spec: object): Promise<void> {
    await this.client.mergePatch(CACHE_REGISTRIES, this.registry, { spec });
  }

  /** What the operator does: makes the Secret's files from spec and Secrets, and the kubelet mounts them. */
  async render(spec: Partial<GatewaySpec> = this.#options.spec ?? {}, now = new Date()): Promise<GatewayAccess> {
    const access = await accessDocument({
      registry: { name: this.registry, uid: "uid" },
      spec: { pullHost: "127.0.0.1:5000", ...spec },
      namespace: "cosign-system",
      secret: (name) => this.secrets.get(name),
      hashes: this.hashes,
      now,
    });
    this.mount.write(access.files);
    return access;
  }

  /** An accepted rule, as the operator leaves it. */
  async rule(name: string, source: string, target: string): Promise<void> {
    const metadata = { name: `${this.registry}-${name}` };
    const head = { apiVersion: "entrepot.dev/v1alpha1", kind: "CacheRule", metadata };
    const spec = { registryRef: { name: this.registry }, source, target };
    await this.client.create(CACHE_RULES, { ...head, spec } as KubeObject);
    this.#cleanup.add(() => this.client.delete(CACHE_RULES, metadata.name));
    const accepted = { type: "Accepted", status: "True", reason: "Test", message: "", observedGeneration: 1 };
    const conditions = [{ ...accepted, lastTransitionTime: "2026-01-01T00:00:00Z" }];
    await this.client.applyStatus(CACHE_RULES, { ...head, status: { conditions } } as KubeObject);
  }

  /** A kubeconfig with the rights of deploy/base/gateway-rbac.yaml, and no others. */
  async #kubeconfig(): Promise<string> {
    const { namespace, cluster } = this;
    await cluster.kubectl(["-n", namespace, "create", "serviceaccount", "gateway"]);
    const text = readFileSync(join(ROOT, "deploy/base/gateway-rbac.yaml"), "utf8");
    const role = (loadAll(text) as KubeObject[]).find(({ kind }) => kind === "ClusterRole");
    await cluster.kubectl(["create", "-f", "-"], JSON.stringify({ ...role, metadata: { name: namespace } }));
    const binding = ["clusterrolebinding", namespace, `--clusterrole=${namespace}`];
    await cluster.kubectl(["create", ...binding, `--serviceaccount=${namespace}:gateway`]);
    const made = [`clusterrole/${namespace}`, `clusterrolebinding/${namespace}`];
    this.#cleanup.add(() => cluster.kubectl(["delete", ...made, "--wait=false"]));
    const token = (await cluster.kubectl(["-n", namespace, "create", "token", "gateway"])).trim();
    const config = load(readFileSync(cluster.kubeconfig, "utf8")) as { users: { name: string }[] };
    const path = join(this.mount.directory, "kubeconfig");
    const users = config.users.map(({ name }) => ({ name, user: { token } }));
    writeFileSync(path, dump({ ...config, users }), { mode: 0o600 });
    return path;
  }

  async start(options: { scheme?: "http" | "https"; ready?: boolean } = {}): Promise<void> {
    const kubeconfig = await this.#kubeconfig();
    const [port, statusPort] = [await freePort(), await freePort()];
    this.origin = `${options.scheme ?? "http"}://127.0.0.1:${port}`;
    this.statusOrigin = `http://127.0.0.1:${statusPort}`;
    const child = spawn(process.execPath, [join(ROOT, "main.ts"), "gateway"], {
      env: {
        KUBECONFIG: kubeconfig,
        REGISTRY_NAME: this.registry,
        REGISTRY_PORT: `${port}`,
        STATUS_PORT: `${statusPort}`,
        DRAIN_MS: "100",
        ACCESS_DIR: this.mount.directory,
        BACKEND_ORIGINS: JSON.stringify(this.#options.origins),
        ...this.#options.env,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk: Buffer) => {
        this.output += chunk.toString();
      });
    this.#child = child;
    this.#cleanup.add(() => this.stop());
    if (options.ready !== false) await eventually("the gateway is ready", async () => (await this.readiness()) === 200);
  }

  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  }

  async readiness(): Promise<number> {
    return await fetch(`${this.statusOrigin}/readyz`).then(
      (answer) => answer.status,
      () => 0,
    );
  }

  async get(path: string, headers: Record<string, string> = {}, method = "GET"): Promise<Answer> {
    const answer = await fetch(`${this.origin}${path}`, { method, headers, redirect: "manual" });
    const body = Buffer.from(await answer.arrayBuffer());
    const parsed = answer.status >= 400 && body.length > 0 ? (JSON.parse(body.toString()) as Errors) : undefined;
    return { status: answer.status, headers: answer.headers, body, error: parsed?.errors[0] };
  }

  /** Waits until a request is answered with `status`. */
  async answers(status: number, path: string, headers: Record<string, string> = {}): Promise<void> {
    const what = `${path} is answered with ${status}`;
    await eventually(what, async () => (await this.get(path, headers, "HEAD")).status === status);
  }

  /** A token of a ServiceAccount, which is made where there is none. */
  async token(namespace: string, account: string, audience: string): Promise<string> {
    await this.cluster.kubectl(["-n", namespace, "create", "serviceaccount", account]).catch(() => undefined);
    const args = ["-n", namespace, "create", "token", account, `--audience=${audience}`];
    return (await this.cluster.kubectl(args)).trim();
  }
}

interface Errors {
  readonly errors: readonly { readonly code: string; readonly message: string }[];
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Buffer;
  readonly error: Errors["errors"][number] | undefined;
}
