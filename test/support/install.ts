import { join } from "node:path";
import type { ClusterHandle } from "./cluster.ts";
import { eventually } from "./kube.ts";

const ROOT = join(import.meta.dirname, "../..");

/** Applies one of the project's folders as the documentation does; resolves when its custom resources can be used. */
export async function install(cluster: Pick<ClusterHandle, "kubectl">, folder: "crds" | "deploy/dev"): Promise<void> {
  await cluster.kubectl(["apply", "--server-side", "--force-conflicts", "-k", join(ROOT, folder)]);
  await established(cluster);
}

/** Resolves when every custom resource of the cluster can be used. (`kubectl wait` fails on one that has no condition at all yet.) */
export async function established(cluster: Pick<ClusterHandle, "kubectl">): Promise<void> {
  const line = '{.metadata.name}={.status.conditions[?(@.type=="Established")].status}{"\\n"}';
  await eventually("every custom resource is established", async () => {
    const output = await cluster.kubectl(["get", "crd", "-o", `jsonpath={range .items[*]}${line}{end}`]);
    return output
      .trim()
      .split("\n")
      .every((one) => one.endsWith("=True"));
  });
}
