import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { enterBox } from "./box.ts";
import { execEnv } from "./layout.ts";
import type { Settings } from "./settings.ts";
import { type ClusterRecord, readRecord } from "./state.ts";

export interface ExecTarget {
  /** What to put before the command's own arguments. */
  readonly prefix: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

/** How a command is run with the cluster: in its network, its KUBECONFIG, its tools on the PATH. Throws if there is no cluster. */
export function execTarget(settings: Settings, env: NodeJS.ProcessEnv): ExecTarget {
  if (settings.kubeconfig !== undefined) return { prefix: [], env };
  const record = requireRecord(settings);
  const enter = record.mode === "node" && !settings.inside ? enterBox(settings.dir) : [];
  return { prefix: enter, env: execEnv(settings, record.kubeconfig, record.mode, env) };
}

/** The record of the running cluster. Throws with the command that starts one. */
export function requireRecord(settings: Settings): ClusterRecord {
  const record = readRecord(settings.dir);
  if (record === undefined) throw new Error(`Cluster "${settings.name}" is not up: run ./hack/cluster up`);
  return record;
}

/** Runs a command with the cluster, on this process's terminal; passes signals on; resolves to its exit code. */
export async function exec(settings: Settings, argv: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const target = execTarget(settings, env);
  const [program, ...args] = [...target.prefix, ...argv];
  if (program === undefined) throw new Error("exec: no command");
  const child = spawn(program, args, { stdio: "inherit", env: target.env });
  const forward = (signal: NodeJS.Signals) => {
    for (const pid of target.prefix.length > 0 ? childrenOf(child.pid) : [child.pid])
      if (pid !== undefined) process.kill(pid, signal);
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, forward);
  return new Promise((done, failed) => {
    child.once("error", (error: NodeJS.ErrnoException) =>
      failed(error.code === "ENOENT" ? new Error(`${program}: not found`) : error),
    );
    child.once("close", (code, signal) => done(code ?? (signal === "SIGINT" ? 130 : 143)));
  });
}

/** nsenter waits for the command but keeps signals to itself: they go to its child. */
function childrenOf(pid: number | undefined): number[] {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
    return children === "" ? [] : children.split(" ").map(Number);
  } catch {
    return [];
  }
}
