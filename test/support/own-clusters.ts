import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { clean } from "../../hack/testcluster/clean.ts";
import { findDaemons, tryKill } from "../../hack/testcluster/processes.ts";
import { type Settings, settingsFrom } from "../../hack/testcluster/settings.ts";

/** The settings of a cluster that is named `<prefix>-<pid>` and ends with this process. What an earlier, killed run left is removed first. */
export async function ownSettings(prefix: string): Promise<Settings> {
  const settings = settingsFrom(process.env, { name: `${prefix}-${process.pid}` });
  const states = dirname(settings.dir);
  mkdirSync(states, { recursive: true });
  for (const name of readdirSync(states)) {
    const pid = new RegExp(`^${prefix}-(\\d+)$`).exec(name)?.[1];
    if (pid === undefined || (Number(pid) !== process.pid && isAlive(Number(pid)))) continue;
    const left = settingsFrom(process.env, { name });
    await clean(left, { logs: true }).catch((thrown: unknown) => {
      if (existsSync(left.dir)) throw thrown; // else another process of this run tidied it at the same time
    });
    rmSync(left.dir, { recursive: true, force: true });
  }
  process.once("exit", () => endNow(settings));
  return settings;
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** The last thing this process does: nothing asynchronous works any more. */
function endNow(settings: Settings): void {
  for (const { pid } of findDaemons(settings.dir)) tryKill(pid, "SIGKILL");
  rmSync(settings.dir, { recursive: true, force: true, maxRetries: 5 });
}
