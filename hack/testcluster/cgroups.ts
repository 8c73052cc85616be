import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

const ROOT = "/sys/fs/cgroup";
const V1 = [
  "cpu",
  "cpuacct",
  "cpuset",
  "memory",
  "devices",
  "freezer",
  "blkio",
  "pids",
  "systemd",
  "perf_event",
  "hugetlb",
  "net_cls",
  "net_prio",
  "unified",
];

/** Whether this machine has the unified hierarchy alone (cgroup v2). */
export function isUnified(): boolean {
  return existsSync(join(ROOT, "cgroup.controllers"));
}

/** The folders that hold the cgroup `id`: one, or one per v1 controller. */
function foldersOf(id: string): string[] {
  return isUnified()
    ? [join(ROOT, id)]
    : V1.map((controller) => join(ROOT, controller))
        .filter(existsSync)
        .map((path) => join(path, id));
}

/** Makes the cgroup that a cluster's Pods live in. */
export function makeCgroup(id: string): void {
  if (isUnified()) delegateControllers();
  for (const folder of foldersOf(id)) mkdirSync(folder, { recursive: true });
  if (isUnified()) return;
  for (const file of ["cpuset.cpus", "cpuset.mems"]) {
    const parent = join(ROOT, "cpuset", file);
    if (existsSync(parent)) writeFileSync(join(ROOT, "cpuset", id, file), readFileSync(parent, "utf8").trim());
  }
}

function delegateControllers(): void {
  const has = (file: string) => readFileSync(join(ROOT, file), "utf8").trim().split(" ");
  const missing = has("cgroup.controllers").filter((name) => !has("cgroup.subtree_control").includes(name));
  for (const name of missing) writeFileSync(join(ROOT, "cgroup.subtree_control"), `+${name}`);
}

/** Removes the cgroup and what is below it, once the processes in it are gone. Throws if they are not after `deadlineMs`. */
export async function removeCgroup(id: string, deadlineMs = 10_000): Promise<void> {
  const end = performance.now() + deadlineMs;
  for (const folder of foldersOf(id).filter(existsSync)) {
    while (!removeTree(folder)) {
      if (performance.now() > end) throw new Error(`${folder} still has processes`);
      await delay(50);
    }
  }
}

/** rmdir, children first: the files of a cgroup cannot be removed and need not be. */
function removeTree(folder: string): boolean {
  const below = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  if (!below.every((entry) => removeTree(join(folder, entry.name)))) return false;
  try {
    rmdirSync(folder);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return true;
    if ((error as NodeJS.ErrnoException).code === "EBUSY") return false;
    throw error;
  }
}
