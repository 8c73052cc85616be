import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { get, type IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { dump, load } from "js-yaml";
import type { ConnectedKubeClient } from "../../adapters/kube/client.ts";
import type { KubeObject } from "../../adapters/kube/types.ts";
import { CACHE_REGISTRIES, CACHE_RULES } from "../../crds/index.ts";
import { freePort } from "../../hack/testcluster/controlplane.ts";
import { type ClusterHandle, sharedCluster } from "../support/cluster.ts";
import { install } from "../support/install.ts";
import { adminClient, eventually, freshNamespace } from "../support/kube.ts";
import { Cleanup, Distribution } from "./gateway-harness.ts";

const ROOT = join(import.meta.dirname, "../..");

interface Kubeconfig {
  users: { name: string; user: object }[];
}

interface Condition {
  readonly type: string;
  readonly status: "True" | "False";
  readonly message?: string;
}

describe("The gateway with a real API server", () => {
  const cleanup = new Cleanup();
  const registry = `gateway-test-${randomBytes(4).toString("hex")}`;
  const layer = randomBytes(8 * 1024 * 1024);
  let cluster: ClusterHandle;
  let client: ConnectedKubeClient;
  let cache: Distribution;
  let image: Awaited<ReturnType<Distribution["pushImage"]>>;
  let kubeconfig: string;
  let child: ChildProcess;
  let origin: string;
  let statusOrigin: string;
  let output = "";

  before(async function () {
    this.timeout(0);
    cluster = await sharedCluster();
    client = await adminClient(cluster);
    cleanup.add(() => client.close());
    await install(cluster, "crds");
    await client.create(CACHE_REGISTRIES, {
      apiVersion: "entrepot.dev/v1alpha1",
      kind: "CacheRegistry",
      metadata: { name: registry },
      spec: { inCluster: { pullHost: "127.0.0.1:5000", storage: { emptyDir: {} } } },
    } as KubeObject);
    cleanup.add(() => client.delete(CACHE_REGISTRIES, registry));
    const upstream = await Distribution.start(cleanup, { auth: true });
    cache = await Distribution.start(cleanup, { upstream });
    image = await upstream.pushImage("acme/app", "v1", layer);
    kubeconfig = await leastRights();
    await start();
  });
  after(() => cleanup.run());

  /** A kubeconfig of a ServiceAccount that may read CacheRules and CacheRegistries, and nothing else. */
  async function leastRights(): Promise<string> {
    const namespace = await freshNamespace(client, "gateway");
    await cluster.kubectl(["-n", namespace, "create", "serviceaccount", "gateway"]);
    await cluster.kubectl([
      "create",
      "clusterrole",
      namespace,
      "--verb=get,list,watch",
      "--resource=cacherules.entrepot.dev,cacheregistries.entrepot.dev",
    ]);
    await cluster.kubectl([
      "create",
      "clusterrolebinding",
      namespace,
      `--clusterrole=${namespace}`,
      `--serviceaccount=${namespace}:gateway`,
    ]);
    cleanup.add(() =>
      cluster.kubectl([
        "delete",
        `namespace/${namespace}`,
        `clusterrole/${namespace}`,
        `clusterrolebinding/${namespace}`,
        "--wait=false",
      ]),
    );
    const token = (await cluster.kubectl(["-n", namespace, "create", "token", "gateway"])).trim();
    const config = load(readFileSync(cluster.kubeconfig, "utf8")) as Kubeconfig;
    const dir = mkdtempSync(join(tmpdir(), "entrepot-gateway-"));
    cleanup.add(() => rmSync(dir, { recursive: true, force: true }));
    const path = join(dir, "kubeconfig");
    writeFileSync(path, dump({ ...config, users: config.users.map(({ name }) => ({ name, user: { token } })) }), {
      mode: 0o600,
    });
    return path;
  }

  async function start(): Promise<void> {
    const [port, statusPort] = [await freePort(), await freePort()];
    origin = `http://127.0.0.1:${port}`;
    statusOrigin = `http://127.0.0.1:${statusPort}`;
    child = spawn(process.execPath, [join(ROOT, "main.ts"), "gateway"], {
      env: {
        KUBECONFIG: kubeconfig,
        REGISTRY_NAME: registry,
        REGISTRY_PORT: `${port}`,
        STATUS_PORT: `${statusPort}`,
        DRAIN_MS: "5000",
        BACKEND_ORIGINS: JSON.stringify({ "registry.local:5000": cache.origin }),
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const keep = (chunk: Buffer): void => {
      output += chunk.toString();
    };
    child.stdout?.on("data", keep);
    child.stderr?.on("data", keep);
    const started = child;
    cleanup.add(() => started.kill("SIGKILL"));
    await eventually("the gateway is ready", async () => (await status("/readyz")) === 200);
  }

  async function status(path: string): Promise<number> {
    return await fetch(`${statusOrigin}${path}`).then(
      (answer) => answer.status,
      () => 0,
    );
  }

  async function pull(repository: string): Promise<number> {
    const answer = await fetch(`${origin}/v2/${repository}/manifests/v1`, { method: "HEAD" });
    return answer.status;
  }

  async function serves(repository: string, wanted: number): Promise<void> {
    await eventually(`${repository} is answered with ${wanted}`, async () => (await pull(repository)) === wanted);
  }

  async function createRule(name: string, target: string, change: { registry?: string } = {}): Promise<KubeObject> {
    const rule = {
      apiVersion: "entrepot.dev/v1alpha1",
      kind: "CacheRule",
      metadata: { name: `${registry}-${name}`, finalizers: ["entrepot.dev/cleanup"] },
      spec: { registryRef: { name: change.registry ?? registry }, source: "registry.local:5000/acme/app", target },
    };
    cleanup.add(async () => {
      await client
        .mergePatch(CACHE_RULES, rule.metadata.name, { metadata: { finalizers: null } })
        .catch(() => undefined);
      await client.delete(CACHE_RULES, rule.metadata.name);
    });
    return await client.create<KubeObject>(CACHE_RULES, rule);
  }

  /** What the operator does, for the rule as it is now. */
  async function decide(rule: KubeObject, ...conditions: Condition[]): Promise<void> {
    const live = await client.get<KubeObject>(CACHE_RULES, rule.metadata.name);
    await client.applyStatus(CACHE_RULES, {
      apiVersion: rule.apiVersion,
      kind: rule.kind,
      metadata: { name: rule.metadata.name },
      status: {
        conditions: conditions.map(({ type, status: value, message = "" }) => ({
          type,
          status: value,
          reason: "Test",
          message,
          lastTransitionTime: "2026-01-01T00:00:00Z",
          observedGeneration: live.metadata.generation,
        })),
      },
    } as KubeObject);
  }

  async function page(): Promise<{
    registry: string;
    synced: boolean;
    rules: Record<string, { generation: number; backendReady: boolean }>;
  }> {
    return (await (await fetch(`${statusOrigin}/-/rules`)).json()) as Awaited<ReturnType<typeof page>>;
  }

  it("serves a rule from when it is accepted until it is deleted", async () => {
    const rule = await createRule("life", "life");
    expect(await pull("life"), "not accepted yet").to.equal(404);
    await decide(rule, { type: "Accepted", status: "True" });
    await serves("life", 200);
    expect((await page()).rules[rule.metadata.name]).to.include({
      generation: 1,
      uid: rule.metadata.uid,
      target: "life",
      backendReady: true,
    });

    await client.mergePatch(CACHE_RULES, rule.metadata.name, { spec: { suspend: true } });
    await serves("life", 404);
    await client.mergePatch(CACHE_RULES, rule.metadata.name, { spec: { suspend: false } });
    await decide(rule, { type: "Accepted", status: "True" });
    await serves("life", 200);
    expect((await page()).rules[rule.metadata.name]).to.include({ generation: 3 });

    await client.delete(CACHE_RULES, rule.metadata.name);
    await serves("life", 404);
    expect((await page()).rules, "the operator may let it go").to.not.have.property(rule.metadata.name);
    expect((await client.get(CACHE_RULES, rule.metadata.name)).metadata.deletionTimestamp).to.be.a("string");
  });

  it("serves no rule of another registry and none that was refused", async () => {
    await decide(await createRule("foreign", "foreign", { registry: "another" }), { type: "Accepted", status: "True" });
    await decide(await createRule("refused", "refused"), { type: "Accepted", status: "False" });
    await decide(await createRule("control", "control"), { type: "Accepted", status: "True" });
    await serves("control", 200);
    expect(await pull("foreign")).to.equal(404);
    expect(await pull("refused")).to.equal(404);
  });

  it("goes on serving while the API server is away, and learns what came after", async function () {
    this.timeout(120_000);
    await decide(await createRule("kept", "kept"), { type: "Accepted", status: "True" });
    await serves("kept", 200);
    await cluster.stop("kube-apiserver", "SIGKILL");
    try {
      await eventually("the informer has noticed", () => output.includes("informer lost contact"));
      expect(await pull("kept")).to.equal(200);
      expect(await pull("undeclared")).to.equal(404);
      expect(await status("/readyz")).to.equal(200);
    } finally {
      await cluster.start("kube-apiserver");
    }
    await decide(await createRule("later", "later"), { type: "Accepted", status: "True" });
    await eventually("the new rule is served", async () => (await pull("later")) === 200, 60_000);
    expect(await pull("kept")).to.equal(200);
  });

  it("ends on SIGTERM without cutting a download", async () => {
    const path = `/v2/control/blobs/${image.layer}`;
    await (await fetch(`${origin}${path}`)).arrayBuffer();
    const [download] = (await once(get(`${origin}${path}`, { agent: false }), "response")) as [IncomingMessage];
    const finished = once(download.pause(), "close");
    child.kill("SIGTERM");
    await eventually("it is out of the Service", async () => (await status("/readyz")) !== 200, 4_000);
    expect(await pull("control"), "still serves what is on its way").to.equal(200);
    let bytes = 0;
    download.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
    });
    download.resume();
    await finished;
    expect(bytes).to.equal(layer.length);
    expect(download.complete).to.equal(true);
    if (child.exitCode === null) await once(child, "exit");
    expect(child.exitCode).to.equal(0);
    expect(output).to.include('"msg":"gateway ended"');
  });

  it("does not start without a registry's name, and says so", async () => {
    const bad = spawn(process.execPath, [join(ROOT, "main.ts"), "gateway"], {
      env: { REGISTRY_PORT: "x", BACKEND_ORIGINS: "[1]" },
      stdio: ["ignore", "ignore", "pipe"],
    });
    let errors = "";
    bad.stderr.on("data", (chunk: Buffer) => {
      errors += chunk.toString();
    });
    await once(bad, "exit");
    expect(bad.exitCode).to.equal(1);
    expect(errors)
      .to.match(/REGISTRY_NAME is not set/)
      .and.match(/REGISTRY_PORT=.*no whole number/)
      .and.match(/BACKEND_ORIGINS must map/);
  });
});
