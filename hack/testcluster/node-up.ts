import { spawn } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { enterBox, startBox } from "./box.ts";
import { makeCgroup } from "./cgroups.ts";
import { type Binaries, execEnv, makeFolders } from "./layout.ts";
import { NODE_IP, REGISTRY, writeNodeConf } from "./node-conf.ts";
import { kubeconfigPath, writeCredentials } from "./pki.ts";
import { cniFolder } from "./probe.ts";
import { findProgram } from "./processes.ts";
import type { Settings } from "./settings.ts";
import { type ClusterRecord, readRecord } from "./state.ts";

export const API_PORT = 6443;
export const PAUSE_IMAGE = { repository: "pause", tag: "dev" } as const;
export const SERVER = `https://${NODE_IP}:${API_PORT}`;

/** Starts a whole cluster in namespaces of its own; returns when its node is Ready. Must run as root on Linux (`whyNoNode`). */
export async function startNode(settings: Settings, binaries: Binaries): Promise<ClusterRecord> {
  const { dir } = settings;
  makeFolders(settings, binaries);
  for (const part of ["kubelet/pki", "containerd", "podlogs"]) mkdirSync(join(dir, "data", part), { recursive: true });
  writeCredentials(dir, SERVER);
  writeNodeConf(dir, {
    cgroup: settings.id,
    runc: required("runc", findProgram("runc")),
    cni: required("the CNI plugins", cniFolder()),
    pauseImage: `${REGISTRY}/${PAUSE_IMAGE.repository}:${PAUSE_IMAGE.tag}`,
    openFiles: hardLimitOfOpenFiles(),
  });
  makeCgroup(settings.id);
  await startBox(dir);
  await runInside(settings, ["start-node"]);
  const record = readRecord(dir);
  if (record === undefined) throw new Error("the node came up without a record of it");
  return record;
}

/**
 * Runs a step of this tool in the cluster's network, where its servers can be reached; its words go to this terminal.
 * Throws when it fails, having said why.
 */
export async function runInside(settings: Settings, step: readonly string[]): Promise<void> {
  const env = execEnv(settings, kubeconfigPath(settings.dir, "admin"), "node", process.env);
  const [program = "", ...args] = [
    ...enterBox(settings.dir),
    process.execPath,
    join(import.meta.dirname, "inside.ts"),
    ...step,
  ];
  const child = spawn(program, args, { stdio: ["ignore", "inherit", "inherit"], env });
  const code = await new Promise((done, failed) => child.once("error", failed).once("close", done));
  if (code !== 0) throw new Error(`${step[0]} failed in the cluster's network`);
}

function required(what: string, path: string | undefined): string {
  if (path === undefined) throw new Error(`${what} went missing`);
  return path;
}

function hardLimitOfOpenFiles(): number {
  const limits = readFileSync("/proc/self/limits", "utf8");
  return Number(/^Max open files\s+\S+\s+(\d+)/m.exec(limits)?.[1] ?? 1024);
}
