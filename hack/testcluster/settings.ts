import { createHash } from "node:crypto";
import { homedir } from "node:os";
import { join, resolve, sep } from "node:path";

/** Where a test cluster lives and what of the environment it honours. */
export interface Settings {
  /** The checkout. */
  readonly root: string;
  /** Built tools, image layers and installed dependencies: shared by all clusters, safe to delete. */
  readonly cache: string;
  readonly name: string;
  /** The state folder of this cluster. */
  readonly dir: string;
  /** A short name, unique to the state folder: cgroups and locks are named by it. */
  readonly id: string;
  /** `KUBEBUILDER_ASSETS`: a folder with etcd, kube-apiserver and kubectl to use instead of the built ones. */
  readonly assets?: string;
  /** A cluster that exists already (`KUBECONFIG`): nothing is started. */
  readonly kubeconfig?: string;
  /** A registry that belongs to the existing cluster (`ENTREPOT_REGISTRY`). */
  readonly registry?: string;
  /** Whether this process runs inside the cluster's network namespace. */
  readonly inside: boolean;
}

const NAME = /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/;

/** The environment variable that `exec` sets to the state folder for what it runs. */
export const INSIDE = "ENTREPOT_INSIDE";

/** Reads the environment; `overrides.name` wins over `ENTREPOT_CLUSTER`. Throws on a name that is no DNS label. */
export function settingsFrom(env: NodeJS.ProcessEnv, overrides: { name?: string } = {}): Settings {
  const root = resolve(import.meta.dirname, "../..");
  const cache = join(env["ENTREPOT_CACHE"] || env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "entrepot");
  const states = resolve(env["ENTREPOT_STATE"] || join(cache, "state"));
  const name = overrides.name ?? (env["ENTREPOT_CLUSTER"] || "dev");
  if (!NAME.test(name))
    throw new Error(`ENTREPOT_CLUSTER is "${name}": use lower-case letters, digits and dashes, 32 at most`);
  const dir = join(states, name);
  const id = `entrepot-${name}-${createHash("sha256").update(dir).digest("hex").slice(0, 8)}`;
  const kubeconfig = env["KUBECONFIG"];
  const ours = kubeconfig !== undefined && resolve(kubeconfig).startsWith(states + sep);
  return {
    root,
    cache,
    name,
    dir,
    id,
    inside: env[INSIDE] === dir,
    ...(env["KUBEBUILDER_ASSETS"] && { assets: resolve(env["KUBEBUILDER_ASSETS"]) }),
    ...(kubeconfig && !ours && { kubeconfig }),
    ...(env["ENTREPOT_REGISTRY"] && { registry: env["ENTREPOT_REGISTRY"] }),
  };
}
