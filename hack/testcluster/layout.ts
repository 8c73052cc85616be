import { existsSync, lstatSync, mkdirSync, readlinkSync, rmSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { INSIDE, type Settings } from "./settings.ts";
import type { Mode } from "./state.ts";
import { ensureTool, KUBE_PARTS, type ToolName, toolDir } from "./tools.ts";

/** The binaries that a cluster runs and offers, by the name on its PATH. */
export type Binaries = ReadonlyMap<string, string>;

const ASSETS = ["etcd", "kube-apiserver", "kubectl", "kube-controller-manager"] as const;

/** Builds what is missing and says where everything is. With `KUBEBUILDER_ASSETS` the Kubernetes parts come from there. */
export async function ensureBinaries(settings: Settings, mode: Mode): Promise<Binaries> {
  const found = new Map<string, string>();
  if (settings.assets !== undefined && mode === "control-plane") {
    for (const part of ASSETS) {
      const path = join(settings.assets, part);
      if (existsSync(path)) found.set(part, path);
      else if (part !== "kube-controller-manager") throw new Error(`KUBEBUILDER_ASSETS has no ${part}: ${path}`);
    }
  } else {
    const kube = await ensureTool(settings, "kube");
    for (const part of KUBE_PARTS) found.set(part, kube);
  }
  found.set("registry", await ensureTool(settings, "registry"));
  if (mode === "node") found.set("pause", await ensureTool(settings, "pause"));
  return found;
}

/** What a cluster was started from: changes whenever a tool was rebuilt. */
export function stampOf(settings: Settings): string {
  const tools: ToolName[] = ["kube", "registry", "pause"];
  return [...tools.map((tool) => toolDir(settings, tool)), settings.assets ?? ""].join(" ");
}

/** Makes the empty state folder and its bin/, which `exec` puts on the PATH. */
export function makeFolders(settings: Settings, binaries: Binaries): void {
  for (const part of ["bin", "conf", "pki", "logs", "data"]) mkdirSync(join(settings.dir, part), { recursive: true });
  for (const [name, path] of binaries) link(path, bin(settings.dir, name));
}

/** The path of cosign in the cluster's bin/; builds it if need be (not from inside the cluster's network, which leads nowhere). */
export async function ensureCosign(settings: Settings): Promise<string> {
  const path = bin(settings.dir, "cosign");
  const built = await ensureTool(settings, "cosign");
  link(built, path);
  return path;
}

function link(to: string, path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() && readlinkSync(path) === to) return;
  rmSync(path, { force: true });
  symlinkSync(to, path);
}

/** A program of the cluster's bin/. */
export function bin(dir: string, name: string): string {
  return join(dir, "bin", name);
}

/** The environment for a command that uses the cluster: its kubectl and our Node first on the PATH, no proxies (there is no way out). */
export function execEnv(
  settings: Settings,
  kubeconfig: string,
  mode: Mode | undefined,
  env: NodeJS.ProcessEnv,
): NodeJS.ProcessEnv {
  const proxies = mode === "node" ? Object.keys(env).filter((key) => /_proxy$/i.test(key)) : [];
  const kept = Object.fromEntries(Object.entries(env).filter(([key]) => !proxies.includes(key)));
  const path = [
    join(settings.dir, "bin"),
    dirname(join(settings.root, "node_modules/.bin/node")),
    env["PATH"] ?? "",
  ].join(":");
  return {
    ...kept,
    PATH: path,
    KUBECONFIG: kubeconfig,
    ENTREPOT_CLUSTER: settings.name,
    ...(mode === "node" && { [INSIDE]: settings.dir }),
  };
}
