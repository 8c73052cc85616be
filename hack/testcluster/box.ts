import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { waitUntil } from "./health.ts";
import { type Daemon, type DaemonSpec, daemonEnv, findDaemons, startDaemon } from "./processes.ts";

const SCRIPT = join(import.meta.dirname, "box.sh");
const NAMESPACES = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"];

function boxDaemon(dir: string): DaemonSpec {
  return { name: "box", argv: ["unshare", ...NAMESPACES, SCRIPT, dir, "RUN"], log: join(dir, "logs/box.log") };
}

/** Makes the namespaces that the node lives in. Returns when their network is set up. */
export async function startBox(dir: string): Promise<DaemonSpec> {
  const spec = boxDaemon(dir);
  await startDaemon(dir, spec);
  await waitUntil(
    "the node's namespaces",
    async () => existsSync(join(dir, "box.ready")),
    { dir, daemons: [spec] },
    20_000,
  );
  return spec;
}

/** Tries everything that a node needs of the machine, in namespaces that end at once. Returns what failed, in the tools' own words. */
export function probeBox(dir: string): string | undefined {
  const tried = spawnSync("unshare", [...NAMESPACES, SCRIPT, dir, "PROBE"], {
    encoding: "utf8",
    env: daemonEnv(dir, "probe"),
    timeout: 20_000,
  });
  if (tried.status === 0) return undefined;
  return (
    tried.error?.message ??
    (tried.stderr.trim().split("\n").at(-1) || `the trial ended with ${tried.status ?? tried.signal}`)
  );
}

/** The process that holds the namespaces: process 1 inside them. */
export function findBox(dir: string): Daemon | undefined {
  return findDaemons(dir).find(({ name, pid }) => name === "box" && isFirst(pid));
}

function isFirst(pid: number): boolean {
  try {
    const pids = /^NSpid:\t(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]?.split("\t") ?? [];
    return pids.length > 1 && pids.at(-1) === "1";
  } catch {
    return false; // ended meanwhile
  }
}

/** What to put before a command's arguments so that it runs in the namespaces, in this folder. Throws if they are gone. */
export function enterBox(dir: string): string[] {
  const box = findBox(dir);
  if (box === undefined) throw new Error("the node's namespaces are gone: run ./hack/cluster up");
  return ["nsenter", `--target=${box.pid}`, "--mount", "--net", "--pid", `--wd=${process.cwd()}`, "--"];
}
