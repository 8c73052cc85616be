import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { probeBox } from "./box.ts";
import { makeCgroup, removeCgroup } from "./cgroups.ts";
import { writeNames } from "./node-conf.ts";
import { findProgram } from "./processes.ts";
import type { Settings } from "./settings.ts";

/** Programs that a node needs, and the Debian package that has each. */
const NEEDS: Readonly<Record<string, string>> = {
  containerd: "containerd",
  runc: "runc",
  iptables: "iptables",
  ip: "iproute2",
  unshare: "util-linux",
  nsenter: "util-linux",
  mount: "mount",
};

/** Folders where distributions put the CNI plugins; Debian's is the first. */
const CNI_FOLDERS = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"];

/** The folder with the CNI plugins of this machine. */
export function cniFolder(): string | undefined {
  return CNI_FOLDERS.find((folder) =>
    ["bridge", "host-local", "loopback"].every((plugin) => existsSync(join(folder, plugin))),
  );
}

function missing(): string[] {
  const packages = Object.entries(NEEDS).flatMap(([program, pkg]) => (findProgram(program) === undefined ? [pkg] : []));
  return [...new Set([...packages, ...(cniFolder() === undefined ? ["containernetworking-plugins"] : [])])];
}

const mayInstall = () =>
  process.platform === "linux" && process.getuid?.() === 0 && findProgram("apt-get") !== undefined;

/** As root on Debian: installs the packages that a node needs and that are not there. What fails is left to `whyNoNode` to tell. */
export function installPackages(say: (line: string) => void): void {
  const packages = missing();
  if (packages.length === 0 || !mayInstall()) return;
  say(`Installing Debian packages that a node needs: ${packages.join(" ")}`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  for (const args of [
    ["update", "-q"],
    ["install", "-q", "-y", "--no-install-recommends", ...packages],
  ]) {
    const ran = spawnSync("apt-get", args, { env, encoding: "utf8", timeout: 600_000 });
    if (ran.status !== 0)
      say(`apt-get ${args[0]} failed: ${ran.error?.message ?? ran.stderr.trim().split("\n").slice(-3).join("; ")}`);
  }
}

/** Why no node can run on this machine, in a few words, or undefined if one can. Tries what can be tried and leaves nothing behind. */
export async function whyNoNode(settings: Settings): Promise<string | undefined> {
  if (process.platform !== "linux") return `a node needs Linux, this is ${process.platform}`;
  if (process.getuid?.() !== 0) return "a node needs root";
  const packages = missing();
  if (packages.length > 0) return `these packages are missing: ${packages.join(", ")}`;
  const id = `${settings.id}-probe`;
  try {
    makeCgroup(id);
    await removeCgroup(id);
  } catch (error) {
    return `cgroups cannot be made (${(error as Error).message})`;
  }
  const failed = tryNamespaces(settings);
  return failed === undefined ? undefined : `namespaces cannot be set up (${failed})`;
}

function tryNamespaces(settings: Settings): string | undefined {
  mkdirSync(settings.cache, { recursive: true });
  const dir = mkdtempSync(join(settings.cache, "probe-"));
  try {
    mkdirSync(join(dir, "conf"));
    writeNames(dir);
    return probeBox(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
