import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { settingsFrom } from "../../../hack/testcluster/settings.ts";
import { ensureTool, type ToolName } from "../../../hack/testcluster/tools.ts";

const START_MS = 120_000;
const POLL_MS = 20;

export interface DaemonOptions {
  readonly tool: ToolName;
  readonly args: readonly string[];
  /** A folder of its own: it runs there, and its log lies there. */
  readonly dir: string;
  /** Answers 2xx once the server serves. */
  readonly ready: string;
}

/** A server of the test, as a process. */
export interface Daemon {
  stop(): Promise<void>;
}

/** Starts a tool's server and waits until it is ready; builds it first if this machine has none yet. Rejects with the end of its log. */
export async function startDaemon({ tool, args, dir, ready }: DaemonOptions): Promise<Daemon> {
  const binary = await ensureTool(settingsFrom(process.env), tool);
  const log = join(dir, `${tool}.log`);
  const output = openSync(log, "a");
  const child = spawn(binary, args, { cwd: dir, env: { HOME: dir }, stdio: ["ignore", output, output] });
  closeSync(output);
  const endWithUs = () => child.kill("SIGKILL");
  process.once("exit", endWithUs);
  const daemon = {
    async stop() {
      process.off("exit", endWithUs);
      await ended(child);
    },
  };
  const deadline = performance.now() + START_MS;
  while (!(await answers(ready))) {
    if (child.exitCode === null && performance.now() < deadline) await pause(POLL_MS);
    else {
      await daemon.stop();
      throw new Error(`${tool} did not start:\n${readFileSync(log, "utf8").slice(-2_000)}`);
    }
  }
  return daemon;
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(1_000) })).ok;
  } catch {
    return false; // it does not listen yet
  }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL"); // nothing of it is kept, and a graceful end may take its time
  await exit;
}
