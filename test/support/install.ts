import { join } from "node:path";
import type { ClusterHandle } from "./cluster.ts";
import { eventually } from "./kube.ts";

const ROOT = join(import.meta.dirname, "../..");

/** A CustomResourceDefinition, as much of it as says whether it can be used. The API server writes `conditions: null` before the first one. */
export interface CrdState {
  readonly metadata: { readonly name: string };
  readonly status?: {
    readonly conditions?: readonly { readonly type: string; readonly status: string }[] | null;
  };
}

/** Applies one of the project's folders as the documentation does; resolves when its custom resources can be used. */
export async function install(cluster: Pick<ClusterHandle, "kubectl">, folder: "crds" | "deploy/dev"): Promise<void> {
  await cluster.kubectl(["apply", "--server-side", "--force-conflicts", "-k", join(ROOT, folder)]);
  await established(cluster);
}

/** Resolves when every custom resource of the cluster can be used. (`kubectl wait`, and a JSONPath filter, fail on `conditions: null`.) */
export async function established(cluster: Pick<ClusterHandle, "kubectl">): Promise<void> {
  let failure: unknown;
  await eventually("every custom resource is established", async () => {
    try {
      const text = await cluster.kubectl(["get", "crd", "-o", "json"]);
      const { items } = JSON.parse(text) as { items: readonly CrdState[] };
      return items.length > 0 && items.every(isEstablished);
    } catch (thrown) {
      failure = thrown; // the API server may rest for a moment
      return false;
    }
  }).catch((thrown: unknown) => {
    throw new Error(`${String(thrown)}; last failure: ${String(failure)}`);
  });
}

/** Whether the API server serves it (condition `Established`). */
export function isEstablished({ status }: CrdState): boolean {
  return (status?.conditions ?? []).some(
    (condition) => condition.type === "Established" && condition.status === "True",
  );
}
