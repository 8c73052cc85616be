import { join } from "node:path";
import { COLLECT_LATE, freePorts } from "./controlplane.ts";
import { execTarget } from "./exec.ts";
import { apiReady, registryReady, waitUntil } from "./health.ts";
import { type PushedImage, pushWorkload, type WorkloadOptions } from "./images.ts";
import { bin, ensureCosign } from "./layout.ts";
import { trustPlainHttp, UPSTREAM_HOST } from "./node-conf.ts";
import { type DaemonSpec, endDaemons, findDaemon, startDaemon } from "./processes.ts";
import {
  type AccessLogEntry,
  type RegistryOptions,
  readAccessLog,
  registryComponent,
  registryDaemon,
  TEST_USER,
} from "./registry.ts";
import { type CommandResult, type RunOptions, run } from "./run.ts";
import type { Settings } from "./settings.ts";
import { type ClusterRecord, readRecord, writeRecord } from "./state.ts";

/** A second registry in the cluster's network. */
export interface ExtraRegistry {
  /** `host:port`, plain HTTP, valid in the cluster's network and (with a node) inside Pods and for the node's runtime. */
  readonly address: string;
  /** The user that it asks for, if it asks for one. */
  readonly user?: { readonly username: string; readonly password: string };
  requests(): AccessLogEntry[];
  stop(signal?: NodeJS.Signals): Promise<void>;
  start(): Promise<void>;
}

/** What tests and the demo do with a cluster that is up. With a node this must run inside its network (`./hack/cluster exec`). */
export class ClusterHandle {
  readonly settings: Settings;
  readonly #record: ClusterRecord;

  constructor(settings: Settings, record: ClusterRecord) {
    if (record.mode === "node" && !settings.inside)
      throw new Error("this must run in the cluster's network: ./hack/cluster exec -- CMD");
    this.settings = settings;
    this.#record = record;
  }

  get hasNode(): boolean {
    return this.#record.hasNode;
  }

  /** Whether its components can be stopped and started here. */
  get isOurs(): boolean {
    return this.#record.mode !== "existing";
  }

  /** Path of a kubeconfig with all rights. */
  get kubeconfig(): string {
    return this.#record.kubeconfig;
  }

  /** URL of the API server. */
  get server(): string {
    return this.#record.server;
  }

  /** The plain registry that anyone may push to: `host:port`. */
  get registry(): string {
    return this.#record.registry;
  }

  /** Path of cosign; the first time on a machine it is built, which takes minutes. */
  cosign(): Promise<string> {
    return ensureCosign(this.settings);
  }

  /** Path of one of the cluster's programs: kubectl, registry, etcd. */
  program(name: string): string {
    return bin(this.settings.dir, name);
  }

  /** Runs a command in the cluster's network, never through a shell. Resolves whatever its exit code; rejects if it cannot be run or takes too long. */
  run(argv: readonly string[], options: RunOptions = {}): Promise<CommandResult> {
    const target = execTarget(this.settings, process.env);
    return run([...target.prefix, ...argv], { ...options, env: { ...target.env, ...options.env } });
  }

  /** Runs kubectl; rejects with its words if it fails; resolves to its standard output. */
  async kubectl(args: readonly string[], input?: string): Promise<string> {
    const options = { env: COLLECT_LATE, ...(input !== undefined && { input }) };
    const result = await this.run([this.program("kubectl"), ...args], options);
    if (result.code !== 0)
      throw new Error(`kubectl ${args.join(" ")}: ${result.stderr.trim() || `exit code ${result.code}`}`);
    return result.stdout;
  }

  /** Makes a small image on the spot (it runs, does nothing, stops when told) and pushes it to `to`, or to the plain registry. */
  pushImage(options: WorkloadOptions & { readonly to?: ExtraRegistry }): Promise<PushedImage> {
    const { to, ...image } = options;
    return pushWorkload(this.settings, to?.address ?? this.registry, { ...image, ...(to?.user && { user: to.user }) });
  }

  /** Every request that the plain registry has answered, oldest first. */
  requests(): AccessLogEntry[] {
    return readAccessLog(this.settings.dir, "registry");
  }

  /** Ends a component (`kube-apiserver`, `etcd`, `registry`, `kubelet`, …) with `signal` and waits until it is gone. No error if it does not run. */
  async stop(component: string, signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const found = findDaemon(this.settings.dir, this.#spec(component));
    if (found !== undefined) await endDaemons([found], this.settings.dir, signal);
  }

  /** Starts a stopped component as it was started before and, for the API server and registries, waits until it answers. */
  async start(component: string): Promise<void> {
    const { dir } = this.settings;
    const spec = this.#spec(component);
    if (findDaemon(dir, spec) === undefined) await startDaemon(dir, spec);
    const watch = { dir, daemons: [spec] };
    if (component === "kube-apiserver") await waitUntil("a ready API server", () => apiReady(dir, this.server), watch);
    if (component === "registry") await waitUntil("the registry", () => registryReady(this.registry), watch);
  }

  /** `stop` and `start`. SIGKILL unless told otherwise: the crash, not the orderly end. */
  async restart(component: string, signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    await this.stop(component, signal);
    await this.start(component);
  }

  /**
   * Starts another registry: `upstream.local:PORT` where a node is, on loopback where none is. `auth` asks for a user.
   * Without `port` a free one is taken. Starting one that runs already on that port is no error; its images and its log go on.
   */
  async startRegistry(options: Omit<RegistryOptions, "listen"> & { readonly port?: number }): Promise<ExtraRegistry> {
    const { dir } = this.settings;
    const [free = 0] = options.port === undefined ? await freePorts(1) : [options.port];
    const listen = this.#inBox ? `0.0.0.0:${free}` : `127.0.0.1:${free}`;
    const address = this.#inBox ? `${UPSTREAM_HOST}:${free}` : listen;
    if (this.#inBox) trustPlainHttp(dir, address);
    const spec = registryDaemon(dir, this.program("registry"), { ...options, listen });
    const record = readRecord(dir) ?? this.#record;
    writeRecord(dir, {
      ...record,
      extras: [...(record.extras ?? []).filter((other) => other.name !== spec.name), spec],
    });
    const start = async () => {
      await this.start(spec.name);
      await waitUntil(`registry ${options.name}`, () => registryReady(address), { dir, daemons: [spec] });
    };
    await start();
    return {
      address,
      ...(options.auth && { user: TEST_USER }),
      requests: () => readAccessLog(dir, options.name),
      stop: (signal) => this.stop(registryComponent(options.name), signal),
      start,
    };
  }

  /** Path of a component's log. */
  logPath(component: string): string {
    return join(this.settings.dir, `logs/${component}.log`);
  }

  get #inBox(): boolean {
    return this.#record.mode === "node";
  }

  #spec(component: string): DaemonSpec {
    const record = readRecord(this.settings.dir) ?? this.#record;
    const spec = [...record.daemons, ...(record.extras ?? [])].find(({ name }) => name === component);
    if (spec === undefined)
      throw new Error(
        `no component "${component}" in this cluster (${record.daemons.map(({ name }) => name).join(", ")})`,
      );
    return spec;
  }
}
