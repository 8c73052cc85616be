import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Registry } from "prom-client";
import type { Place } from "../../adapters/caches/place.ts";
import type { EventNote } from "../../adapters/kube/events.ts";
import type { KubeClient } from "../../adapters/kube/types.ts";
import { createLog } from "../../adapters/telemetry/log.ts";
import type { CachedStatus } from "../../core/refresh/held.ts";
import { ANONYMOUS } from "../../core/registry/keychain.ts";
import type { CacheRegistryObject, CacheRuleObject, CacheRuleSpec } from "../../crds/index.ts";
import { freePort } from "../../hack/testcluster/controlplane.ts";
import { settingsFrom } from "../../hack/testcluster/settings.ts";
import { ensureTool } from "../../hack/testcluster/tools.ts";
import { RegistryDoors } from "../../operator/refresh/doors.ts";
import { RefreshMetrics } from "../../operator/refresh/metrics.ts";
import { type RefreshDependencies, refreshReconciler } from "../../operator/refresh/reconciler.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { eventually } from "../support/kube.ts";
import type { Cleanup } from "./gateway-harness.ts";

/** A real CNCF distribution that proxies one upstream and forgets what it fetched after `ttl`. */
export class TtlProxy {
  readonly origin: string;
  readonly #log: string;

  private constructor(port: number, log: string) {
    this.origin = `http://127.0.0.1:${port}`;
    this.#log = log;
  }

  static async start(cleanup: Cleanup, upstream: string, ttl: string): Promise<TtlProxy> {
    const binary = await ensureTool(settingsFrom(process.env), "registry");
    const dir = mkdtempSync(join(tmpdir(), "entrepot-refresh-"));
    cleanup.add(() => rmSync(dir, { recursive: true, force: true, maxRetries: 5 }));
    const port = await freePort();
    const config = {
      version: 0.1,
      log: { level: "info" },
      storage: {
        filesystem: { rootdirectory: join(dir, "data") },
        delete: { enabled: true },
        redirect: { disable: true },
      },
      http: { addr: `127.0.0.1:${port}` },
      proxy: { remoteurl: upstream, ttl },
    };
    writeFileSync(join(dir, "config.yml"), JSON.stringify(config));
    const log = join(dir, "registry.log");
    const child: ChildProcess = spawn(binary, ["serve", join(dir, "config.yml")], {
      env: { OTEL_TRACES_EXPORTER: "none" },
      stdio: ["ignore", "ignore", "pipe"],
    });
    writeFileSync(log, "");
    child.stderr?.on("data", (chunk: Buffer) => writeFileSync(log, chunk, { flag: "a" }));
    cleanup.add(async () => {
      child.kill("SIGKILL");
      await once(child, "exit");
    });
    const proxy = new TtlProxy(port, log);
    await eventually("the proxy answers", () =>
      fetch(`${proxy.origin}/v2/`).then(
        ({ ok }) => ok,
        () => false,
      ),
    );
    return proxy;
  }

  get log(): string {
    return readFileSync(this.#log, "utf8");
  }
}

export interface RuleOptions {
  readonly source?: string;
  readonly target?: string;
  readonly conditions?: readonly { type: string; status: string; message?: string }[];
}

/** A rule of the registry `main` that is served. */
export function servedRule(refresh: CacheRuleSpec["refresh"], options: RuleOptions = {}): CacheRuleObject {
  const { source = "upstream.test/team/app", target = "app", conditions = [] } = options;
  const served = ["Accepted", "Ready"].map((type) => ({ type, status: "True" }));
  const all = [...served.filter(({ type }) => !conditions.some((one) => one.type === type)), ...conditions];
  return {
    apiVersion: "entrepot.dev/v1alpha1",
    kind: "CacheRule",
    metadata: {
      name: "app",
      uid: "uid-app",
      generation: 1,
      resourceVersion: "1",
      creationTimestamp: "2026-01-01T00:00:00Z",
    },
    spec: { registryRef: { name: "main" }, source, target, ...(refresh && { refresh }) },
    status: {
      conditions: all.map((one) => ({
        reason: "Test",
        message: "",
        lastTransitionTime: "2026-01-01T00:00:00Z",
        ...one,
      })),
    },
  } as CacheRuleObject;
}

export function inClusterRegistry(ttl?: string): CacheRegistryObject {
  const inCluster = { pullHost: "localhost:30500", storage: { emptyDir: {} }, ...(ttl !== undefined && { ttl }) };
  return {
    apiVersion: "entrepot.dev/v1alpha1",
    kind: "CacheRegistry",
    metadata: {
      name: "main",
      uid: "uid-main",
      generation: 1,
      resourceVersion: "1",
      creationTimestamp: "2026-01-01T00:00:00Z",
    },
    spec: { inCluster },
  };
}

/** The reconciler with a rule in memory in place of an informer's, and a status that is entered there as it is written. */
export class Stage {
  readonly clock: FakeClock;
  readonly notes: EventNote[] = [];
  readonly writes: (CachedStatus | undefined)[] = [];
  readonly telemetry = new Registry();
  rule: CacheRuleObject;
  others: readonly CacheRuleObject[] = [];
  /** So many writes of status fail. */
  refuseWrites = 0;
  registry: CacheRegistryObject;
  readonly doors: RegistryDoors;
  readonly #options: Partial<RefreshDependencies>;
  readonly #metrics = new RefreshMetrics(this.telemetry);
  #reconcile;

  constructor(
    cache: string,
    rule: CacheRuleObject,
    options: Partial<RefreshDependencies> & { registry?: CacheRegistryObject } = {},
  ) {
    const { registry = inClusterRegistry(), ...rest } = options;
    this.clock = new FakeClock(new Date());
    this.rule = rule;
    this.registry = registry;
    this.#options = rest;
    const place: Place = { host: new URL(cache).host, plainHTTP: true, keychain: ANONYMOUS };
    this.doors = new RegistryDoors({
      namespace: "cosign-system",
      secrets: { get: () => undefined },
      pullHost: () => place.host,
      gateway: async () => place,
      upstreamOf: (_registry, host) => ({ kind: "upstream", upstream: { host, plainHTTP: true } }),
    });
    this.#reconcile = this.#start();
  }

  #start() {
    const applyStatus = async (_resource: unknown, object: { status?: { cached?: CachedStatus } }) => {
      if (this.refuseWrites-- > 0) throw new Error("no API server");
      this.writes.push(object.status?.cached);
      const { cached: _old, ...status } = this.rule.status ?? {};
      this.rule = { ...this.rule, status: { ...status, ...object.status } } as CacheRuleObject;
      return object;
    };
    return refreshReconciler({
      client: { applyStatus } as unknown as Pick<KubeClient, "applyStatus">,
      rules: { get: () => this.rule, list: () => [this.rule, ...this.others] },
      registries: { get: () => this.registry },
      doors: this.doors,
      metrics: this.#metrics,
      events: { record: (note) => this.notes.push(note) },
      clock: this.clock,
      log: createLog("test", "silent"),
      ...this.#options,
    });
  }

  /** As if the operator had been restarted: everything in memory is gone. */
  restart(): void {
    this.#reconcile = this.#start();
  }

  /** Reconciles once; gives the milliseconds until the next time. */
  async run(): Promise<number | undefined> {
    return (await this.#reconcile("app", AbortSignal.timeout(60_000))).requeueAfterMs;
  }

  /** Moves time to the next look, and looks. */
  async later(ms = 2 * 3_600_000): Promise<number | undefined> {
    await this.clock.advance(ms);
    return await this.run();
  }

  get cached(): CachedStatus | undefined {
    return this.rule.status?.cached as CachedStatus | undefined;
  }

  /** The tags in status, as `repository:tag`. */
  get tags(): readonly string[] {
    return (this.cached?.tags ?? []).map(({ repository, tag }) => `${repository}:${tag}`);
  }

  said(reason: string): readonly string[] {
    return this.notes.filter((note) => note.reason === reason).map(({ note }) => note);
  }
}
