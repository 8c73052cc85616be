import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { removeCgroup } from "./cgroups.ts";
import { endDaemons, findDaemons } from "./processes.ts";
import type { Settings } from "./settings.ts";

/**
 * Ends every process of the cluster and removes its cgroup and its files, logs excepted unless `logs` is set. Works on whatever is left of a cluster,
 * however it ended; it is no error if there is nothing.
 */
export async function clean(settings: Settings, options: { logs: boolean }): Promise<void> {
  await endDaemons(findDaemons(settings.dir), settings.dir, "SIGKILL");
  await removeCgroup(settings.id);
  if (!existsSync(settings.dir)) return;
  for (const entry of readdirSync(settings.dir)) {
    if (entry !== "logs" || options.logs) rmSync(join(settings.dir, entry), { recursive: true, force: true });
  }
}
