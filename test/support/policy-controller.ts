// The real sigstore policy-controller beside a control plane of its own, to compare ours with. Nothing of it is in this repository:
// its binary, its CRDs and its configuration come from its Go module.
import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { parseAllDocuments } from "yaml";
import { clean } from "../../hack/testcluster/clean.ts";
import { freePorts } from "../../hack/testcluster/controlplane.ts";
import { ClusterHandle } from "../../hack/testcluster/handle.ts";
import { findDaemons, startDaemon } from "../../hack/testcluster/processes.ts";
import { type CommandResult, run } from "../../hack/testcluster/run.ts";
import { type Settings, settingsFrom } from "../../hack/testcluster/settings.ts";
import { ensureTool } from "../../hack/testcluster/tools.ts";
import { up } from "../../hack/testcluster/up.ts";
import { ApiServer } from "./api-server.ts";
import { eventually } from "./kube.ts";
import { ownSettings } from "./own-clusters.ts";

const MODULE = "github.com/sigstore/policy-controller";
const DAEMON = "policy-controller";
const NAMESPACE = "cosign-system";
/** Compiled into it: no flag or variable moves them. */
const PORTS = [8443, 8080] as const;
const START_MS = 90_000;

/** policy-controller, in force on an API server of its own. */
export interface PolicyController {
  readonly cluster: ClusterHandle;
  readonly api: ApiServer;
  /** Path of what it logs. */
  readonly log: string;
  /** Whether it still runs. */
  alive(): boolean;
  /** The text of its metrics page. */
  metrics(): Promise<string>;
  /** Ends it and its API server; whoever asks for one next gets a new one. */
  end(): Promise<void>;
}

let shared: Promise<PolicyController> | undefined;

/**
 * The policy-controller of this test run, started by whoever asks first; it ends with this process. Skips the running suite, by name and with the
 * reason on the console, where one of its fixed ports is taken. Call it in `before` with `this.timeout(0)`: the first time on a machine it is built.
 */
export async function policyController(context: Mocha.Context): Promise<PolicyController> {
  if (shared === undefined) {
    const taken = await takenPort();
    if (taken !== undefined) {
      const title = context.test?.parent?.fullTitle() ?? "a test";
      console.error(
        `      skipped: ${title}: policy-controller listens on port ${taken}, which is in use here, and nothing moves it (run this in a network namespace of its own: unshare --net, with lo up and an address on a dummy interface)`,
      );
      context.skip();
    }
    shared = start();
  }
  return shared;
}

async function takenPort(): Promise<number | undefined> {
  for (const port of PORTS) {
    const server = createServer();
    const free = await new Promise<boolean>((done) => {
      server.once("error", () => done(false));
      server.listen(port, () => server.close(() => done(true)));
    });
    if (!free) return port;
  }
  return undefined;
}

async function start(): Promise<PolicyController> {
  const settings = await ownSettings("compare");
  const binary = await ensureTool(settings, "policycontroller");
  const cluster = new ClusterHandle(settings, await up(settings, { node: false }, () => undefined));
  const api = await ApiServer.connect(cluster.kubeconfig);
  await install(cluster, await moduleFolder(settings));
  const log = cluster.logPath(DAEMON);
  const [metrics = 0, profiling = 0] = await freePorts(2);
  await startDaemon(settings.dir, {
    name: DAEMON,
    argv: [binary, "--disable-tuf"],
    env: {
      KUBECONFIG: cluster.kubeconfig,
      SYSTEM_NAMESPACE: NAMESPACE,
      WEBHOOK_NAME: "webhook",
      METRICS_DOMAIN: "sigstore.dev/policy",
      CONFIG_LOGGING_NAME: "config-logging",
      KUBERNETES_MIN_VERSION: "1.21.0",
      METRICS_PROMETHEUS_PORT: String(metrics),
      PROFILING_PORT: String(profiling),
    },
    log,
  });
  await inForce(api, log);
  return {
    cluster,
    api,
    log,
    metrics: async () => await (await fetch(`http://127.0.0.1:${metrics}/metrics`)).text(),
    alive: () => findDaemons(settings.dir).some(({ name }) => name === DAEMON),
    async end() {
      shared = undefined;
      await api.close();
      await clean(settings, { logs: true });
    },
  };
}

/** How it ends, and the end of what it says, with these arguments and no cluster; rejects if it goes on for too long. */
export async function runPolicyController(args: readonly string[]): Promise<CommandResult> {
  const settings = settingsFrom(process.env);
  const binary = await ensureTool(settings, "policycontroller");
  const home = mkdtempSync(join(tmpdir(), "entrepot-policy-controller-"));
  try {
    return await run([binary, ...args], { env: { HOME: home, SYSTEM_NAMESPACE: NAMESPACE }, timeoutMs: START_MS });
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

/** Where Go keeps the module of the version that go.mod names; it is downloaded if it is not there. */
async function moduleFolder(settings: Settings): Promise<string> {
  const cwd = join(settings.root, "hack/tools/policycontroller");
  const { stdout } = await promisify(execFile)("go", ["mod", "download", "-json", MODULE], { cwd });
  return (JSON.parse(stdout) as { readonly Dir: string }).Dir;
}

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec?: { conversion?: { webhook?: { clientConfig: ClientConfig } } };
  readonly webhooks?: { clientConfig: ClientConfig }[];
}

interface ClientConfig {
  service?: { port?: number };
}

/** Applies its configuration, less what only a cluster with nodes has; the API server follows the Service to this machine by itself. */
async function install(cluster: ClusterHandle, folder: string): Promise<void> {
  const config = join(folder, "config");
  const files = readdirSync(config).filter((name) => /^(100|300|500|501|config-).*\.yaml$/.test(name));
  const manifests = files.sort().flatMap((name) =>
    parseAllDocuments(readFileSync(join(config, name), "utf8"))
      .map((document) => document.toJS() as Manifest | null)
      .filter((manifest) => manifest !== null),
  );
  const service = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "webhook", namespace: NAMESPACE },
    spec: { type: "ExternalName", externalName: "localhost" },
  };
  const items = [...manifests.map(reachable), service];
  await cluster.kubectl(
    ["apply", "--server-side", "-f", "-"],
    JSON.stringify({ apiVersion: "v1", kind: "List", items }),
  );
}

/** Webhooks and conversion call the port that it listens on. */
function reachable(manifest: Manifest): Manifest {
  const conversion = manifest.spec?.conversion?.webhook?.clientConfig;
  for (const clientConfig of [conversion, ...(manifest.webhooks ?? []).map((webhook) => webhook.clientConfig)])
    if (clientConfig?.service !== undefined) clientConfig.service.port = PORTS[0];
  return manifest;
}

/** Both its kinds of webhook answer: for workloads and for policies, in the version that is converted. */
async function inForce(api: ApiServer, log: string): Promise<void> {
  const namespace = "policy-controller-start";
  const labels = { "policy.sigstore.dev/include": "true" };
  await api.must({
    method: "POST",
    path: "/api/v1/namespaces",
    body: { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace, labels } },
  });
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p" },
    spec: { containers: [{ name: "c", image: "example.invalid/start" }] },
  };
  const policy = {
    apiVersion: "policy.sigstore.dev/v1beta1",
    kind: "ClusterImagePolicy",
    metadata: { name: "p" },
    spec: { images: [{ glob: "[" }], authorities: [] },
  };
  const probes = [
    ["/api/v1/namespaces/policy-controller-start/pods", pod, "must be an image digest"],
    ["/apis/policy.sigstore.dev/v1beta1/clusterimagepolicies", policy, "invalid value: [: spec.images[0].glob"],
  ] as const;
  let last = "";
  for (const [path, body, says] of probes) {
    const asked = async () => {
      last = (await api.send({ method: "POST", path, body, dryRun: true })).message;
      return last.includes(says);
    };
    await eventually(`policy-controller in force (see ${log})`, asked, START_MS).catch((error: Error) => {
      throw new Error(`${error.message}; it last said: ${last}`, { cause: error });
    });
  }
  await api.must({ method: "DELETE", path: `/api/v1/namespaces/${namespace}` });
}
