import { freePorts } from "./controlplane.ts";
import { registryReady, waitUntil } from "./health.ts";
import { bin, makeFolders } from "./layout.ts";
import { findProgram, startDaemon } from "./processes.ts";
import { registryDaemon } from "./registry.ts";
import { run } from "./run.ts";
import type { Settings } from "./settings.ts";
import { type ClusterRecord, writeRecord } from "./state.ts";
import { ensureTool } from "./tools.ts";

/**
 * Takes a cluster that somebody else runs as it is: nothing of it is started, ended or restarted. Without `registry` (one that its nodes can pull
 * from) a plain registry is started on this machine, which is enough for what this machine's processes do.
 */
export async function existingCluster(
  settings: Settings,
  kubeconfig: string,
  registry: string | undefined,
): Promise<ClusterRecord> {
  const kubectl = findProgram("kubectl") ?? (await ensureTool(settings, "kube"));
  makeFolders(
    settings,
    new Map([
      ["kubectl", kubectl],
      ["registry", await ensureTool(settings, "registry")],
    ]),
  );
  const ask = async (args: readonly string[]) => {
    const asked = await run([bin(settings.dir, "kubectl"), "--kubeconfig", kubeconfig, ...args], {
      env: process.env,
      timeoutMs: 30_000,
    });
    if (asked.code !== 0)
      throw new Error(`the cluster of KUBECONFIG=${kubeconfig} does not answer: ${asked.stderr.trim()}`);
    return asked.stdout;
  };
  const server = await ask(["config", "view", "--minify", "--output=jsonpath={.clusters[0].cluster.server}"]);
  const nodes = await ask(["get", "nodes", "--output=name"]);
  const record: ClusterRecord = {
    mode: "existing",
    hasNode: nodes.trim() !== "",
    stamp: "",
    kubeconfig,
    server,
    registry: registry ?? (await startRegistryHere(settings)),
    daemons: [],
  };
  writeRecord(settings.dir, record);
  return record;
}

async function startRegistryHere(settings: Settings): Promise<string> {
  const { dir } = settings;
  const [port = 0] = await freePorts(1);
  const listen = `127.0.0.1:${port}`;
  const spec = registryDaemon(dir, bin(dir, "registry"), { name: "registry", listen });
  await startDaemon(dir, spec);
  await waitUntil("the registry", () => registryReady(listen), { dir, daemons: [spec] });
  return listen;
}
