// The real sigstore policy-controller against an API server. Nothing of it is in this repository: its binary, its CRDs and its
// configuration come from its Go module.
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { loadAll } from "js-yaml";
import { freePorts } from "../../hack/testcluster/controlplane.ts";
import { moduleFolder } from "../../hack/testcluster/gomodule.ts";
import type { ClusterHandle } from "../../hack/testcluster/handle.ts";
import { endDaemons, findDaemons, startDaemon } from "../../hack/testcluster/processes.ts";
import { ensureTool } from "../../hack/testcluster/tools.ts";
import type { ApiServer } from "./api-server.ts";
import { eventually } from "./kube.ts";

const MODULE = "github.com/sigstore/policy-controller";
const DAEMON = "policy-controller";
/** Where it keeps its Secret and its configuration. */
export const POLICY_CONTROLLER_NAMESPACE = "cosign-system";
/** Compiled into it: no flag or variable moves them. */
const PORTS = [8443, 8080] as const;
const START_MS = 90_000;

/** policy-controller, in force on an API server. */
export interface PolicyControllerProcess {
  readonly pid: number;
  /** Path of what it logs. */
  readonly log: string;
  /** Whether it still runs. */
  alive(): boolean;
  /** The text of its metrics page. */
  metrics(): Promise<string>;
  /** Removes all policies and everything of its own, the CRDs too, and ends it. The API server is then as if it had never been. */
  remove(): Promise<void>;
}

/** The one of its fixed ports that is taken on this machine, if any. */
export async function takenPort(): Promise<number | undefined> {
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

/**
 * Applies its configuration, its own CRDs among it, and starts it; resolves when it is in force. An API server where its CRDs are someone
 * else's is not for it: they have to go first. The first time on a machine it is built.
 */
export async function startPolicyController(cluster: ClusterHandle, api: ApiServer): Promise<PolicyControllerProcess> {
  const { settings } = cluster;
  const binary = await ensureTool(settings, "policycontroller");
  const items = manifests(await moduleFolder(settings, "policycontroller", MODULE));
  await cluster.kubectl(["apply", "--server-side", "-f", "-"], listOf(items));
  const log = cluster.logPath(DAEMON);
  const [metrics = 0, profiling = 0] = await freePorts(2);
  const pid = await startDaemon(settings.dir, {
    name: DAEMON,
    argv: [binary, "--disable-tuf"],
    env: {
      KUBECONFIG: cluster.kubeconfig,
      SYSTEM_NAMESPACE: POLICY_CONTROLLER_NAMESPACE,
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
  const running = () => findDaemons(settings.dir).filter(({ name }) => name === DAEMON);
  return {
    pid,
    log,
    metrics: async () => await (await fetch(`http://127.0.0.1:${metrics}/metrics`)).text(),
    alive: () => running().length > 0,
    async remove() {
      await cluster.kubectl(["delete", "clusterimagepolicies,trustroots", "--all"]); // it has a finalizer on each
      await endDaemons(running(), settings.dir, "SIGKILL"); // told to end, it would go on serving for 45 s
      await cluster.kubectl(["delete", "--ignore-not-found", "-f", "-"], listOf(items));
    },
  };
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

function listOf(items: readonly Manifest[]): string {
  return JSON.stringify({ apiVersion: "v1", kind: "List", items });
}

/** Its configuration, less what only a cluster with nodes has; the API server follows the Service to this machine by itself. */
function manifests(folder: string): readonly Manifest[] {
  const config = join(folder, "config");
  const files = readdirSync(config).filter((name) => /^(100|300|500|501|config-).*\.yaml$/.test(name));
  const theirs = files
    .sort()
    .flatMap((name) =>
      (loadAll(readFileSync(join(config, name), "utf8")) as (Manifest | null | undefined)[]).filter(
        (manifest) => manifest !== null && manifest !== undefined,
      ),
    );
  const service = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "webhook", namespace: POLICY_CONTROLLER_NAMESPACE },
    spec: { type: "ExternalName", externalName: "localhost" },
  };
  return [...theirs.map(reachable), service as Manifest];
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
