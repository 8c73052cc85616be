import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { clean } from "./clean.ts";
import { startControlPlane } from "./controlplane-up.ts";
import { apiReady, registryReady } from "./health.ts";
import { type Binaries, ensureBinaries, stampOf } from "./layout.ts";
import { withLock } from "./lock.ts";
import { runInside, startNode } from "./node-up.ts";
import { installPackages, whyNoNode } from "./probe.ts";
import { findDaemon } from "./processes.ts";
import type { Settings } from "./settings.ts";
import { type ClusterRecord, type Mode, readRecord } from "./state.ts";

export type Say = (line: string) => void;

/** Starts the cluster unless it runs already. `node: false` asks for the control plane alone; otherwise the machine decides. Says which it is. */
export async function up(settings: Settings, options: { node: boolean }, say: Say): Promise<ClusterRecord> {
  const began = performance.now();
  const mode = await chooseMode(settings, options.node, say);
  const binaries = await ensureBinaries(settings, mode);
  return withClusterLock(settings, say, async () => {
    const running = readRecord(settings.dir);
    if (running?.mode === mode && running.stamp === stampOf(settings) && (await isHealthy(settings, running))) {
      say(`Cluster "${settings.name}" is running: ${describe(running)}.`);
      return running;
    }
    await clean(settings, { logs: true });
    mkdirSync(settings.dir, { recursive: true });
    const record = await start(settings, mode, binaries);
    say(
      `Cluster "${settings.name}" is up after ${((performance.now() - began) / 1000).toFixed(1)} s: ${describe(record)}.`,
    );
    return record;
  });
}

/** A cluster that does not come up whole leaves its logs and nothing that runs. */
async function start(settings: Settings, mode: Mode, binaries: Binaries): Promise<ClusterRecord> {
  try {
    return mode === "node" ? await startNode(settings, binaries) : await startControlPlane(settings, binaries);
  } catch (error) {
    await clean(settings, { logs: false });
    throw error;
  }
}

/** Ends the cluster; its logs stay until the next one. */
export async function down(settings: Settings, say: Say): Promise<void> {
  await withClusterLock(settings, say, () => clean(settings, { logs: false }));
}

function withClusterLock<T>(settings: Settings, say: Say, work: () => Promise<T>): Promise<T> {
  return withLock(join(settings.dir, "lock"), work, () =>
    say(`Cluster "${settings.name}" is being changed by another run; waiting for it.`),
  );
}

async function chooseMode(settings: Settings, node: boolean, say: Say): Promise<Mode> {
  if (!node) return "control-plane";
  if (settings.assets !== undefined) {
    say("KUBEBUILDER_ASSETS is set: its control plane is used, without a node.");
    return "control-plane";
  }
  installPackages(say);
  const reason = await whyNoNode(settings);
  if (reason === undefined) return "node";
  say(`No node can run here: ${reason}. Starting the control plane alone.`);
  return "control-plane";
}

/** One line for people: what kind of cluster, and how to reach it. */
export function describe(record: ClusterRecord): string {
  const kind = record.hasNode
    ? "a whole cluster with one real node, in namespaces of its own"
    : "the control plane alone (no node: Pods stay Pending)";
  return `${kind}; API server ${record.server}, registry ${record.registry}, KUBECONFIG=${record.kubeconfig}`;
}

async function isHealthy(settings: Settings, record: ClusterRecord): Promise<boolean> {
  if (record.daemons.some((spec) => findDaemon(settings.dir, spec) === undefined)) return false;
  if (record.mode === "node" && !settings.inside) {
    return runInside(settings, ["check"]).then(
      () => true,
      () => false,
    );
  }
  return (await apiReady(settings.dir, record.server)) && (await registryReady(record.registry));
}
