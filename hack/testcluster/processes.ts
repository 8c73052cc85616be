import { execFileSync, spawn } from "node:child_process";
import { accessSync, closeSync, constants, existsSync, openSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

/** A long-running process of a cluster. */
export interface DaemonSpec {
  readonly name: string;
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** File for standard error, and for standard output unless `stdout` names another; appended to. */
  readonly log: string;
  readonly stdout?: string;
}

export interface Daemon {
  readonly pid: number;
  readonly name: string;
  readonly argv: readonly string[];
}

/**
 * Every process of a cluster carries this variable: `<state folder>#<name>`. It is how they are found again, so no pid file can be stale
 * and no foreign process that got a recycled pid is ever killed.
 */
const MARK = "ENTREPOT_COMPONENT";
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** The environment of a cluster's process: nothing of the caller's but what finding programs needs (no proxies, no credentials). */
export function daemonEnv(
  dir: string,
  name: string,
  extra: Readonly<Record<string, string>> = {},
): Record<string, string> {
  return { PATH, HOME: dir, LANG: "C.UTF-8", [MARK]: `${dir}#${name}`, ...extra };
}

/** Starts a process that outlives this one, in a session of its own. Throws when the program cannot be run. */
export async function startDaemon(dir: string, spec: DaemonSpec): Promise<number> {
  const [program, ...args] = spec.argv;
  if (program === undefined) throw new Error(`${spec.name}: no program`);
  const err = openSync(spec.log, "a");
  const out = spec.stdout === undefined ? err : openSync(spec.stdout, "a");
  try {
    const child = spawn(program, args, {
      detached: true,
      stdio: ["ignore", out, err],
      cwd: dir,
      env: daemonEnv(dir, spec.name, spec.env),
    });
    await new Promise<void>((started, failed) => child.once("spawn", started).once("error", failed));
    child.unref();
    return child.pid as number; // set once "spawn" has been emitted
  } finally {
    closeSync(err);
    if (out !== err) closeSync(out);
  }
}

/** The live processes of a cluster, whatever they were started by; children of its processes included. */
export function findDaemons(dir: string): Daemon[] {
  return existsSync("/proc/self/environ") ? fromProc(dir) : fromPs(dir);
}

function fromProc(dir: string): Daemon[] {
  const mark = `${MARK}=${dir}#`;
  return readdirSync("/proc").flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return [];
    try {
      const found = readFileSync(`/proc/${entry}/environ`, "latin1")
        .split("\0")
        .find((line) => line.startsWith(mark));
      if (found === undefined) return [];
      const argv = readFileSync(`/proc/${entry}/cmdline`, "utf8").split("\0").slice(0, -1);
      return [{ pid: Number(entry), name: found.slice(mark.length), argv }];
    } catch {
      return []; // ended meanwhile, or another user's
    }
  });
}

function fromPs(dir: string): Daemon[] {
  const lines = execFileSync("ps", ["-axEww", "-o", "pid=,command="], { encoding: "utf8", maxBuffer: 64 << 20 }).split(
    "\n",
  );
  return lines.flatMap((line) => {
    const at = line.indexOf(`${MARK}=${dir}#`);
    const pid = Number.parseInt(line, 10);
    const name = line.slice(at).split("#")[1]?.split(" ")[0];
    return at < 0 || name === undefined || pid === process.pid ? [] : [{ pid, name, argv: [] }];
  });
}

/** The process that `spec` started, if it lives. Children that inherited the mark have other arguments. */
export function findDaemon(dir: string, spec: DaemonSpec): Daemon | undefined {
  const same = (argv: readonly string[]) => argv.length === 0 || argv.join("\0") === spec.argv.join("\0");
  return findDaemons(dir).find((daemon) => daemon.name === spec.name && same(daemon.argv));
}

/** Sends `signal` and waits until the processes are gone; after `deadlineMs` it kills them. */
export async function endDaemons(
  daemons: readonly Daemon[],
  dir: string,
  signal: NodeJS.Signals,
  deadlineMs = 30_000,
): Promise<void> {
  const pids = new Set(daemons.map((daemon) => daemon.pid));
  const alive = () => findDaemons(dir).filter((daemon) => pids.has(daemon.pid));
  const send = (with_: NodeJS.Signals) => {
    for (const { pid } of alive()) tryKill(pid, with_);
  };
  send(signal);
  for (let waited = 0; alive().length > 0 || [...pids].some(isEnding); waited += 20) {
    if (waited >= deadlineMs) send("SIGKILL");
    if (waited >= deadlineMs + 10_000) throw new Error(`processes ${[...pids].join(", ")} survive SIGKILL`);
    await delay(20);
  }
}

/** Whether some thread of a process has not ended: it may still hold its ports, long after its environment can't be read any more. */
function isEnding(pid: number): boolean {
  const folder = `/proc/${pid}/task`;
  try {
    return readdirSync(folder).some((thread) => {
      const stat = readFileSync(join(folder, thread, "stat"), "utf8");
      return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2));
    });
  } catch {
    return false; // it is gone, or this is no Linux
  }
}

/** Sends a signal to a process that may have ended already. */
export function tryKill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** The path of a program, searched as root's shell would. */
export function findProgram(name: string): string | undefined {
  const folders = [
    ...(process.env["PATH"] ?? "").split(":"),
    "/usr/local/sbin",
    "/usr/sbin",
    "/sbin",
    "/usr/bin",
    "/bin",
  ];
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
