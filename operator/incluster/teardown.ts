import type { KubeClient, KubeObject } from "../../adapters/kube/types.ts";
import { MANAGED_SELECTOR, REGISTRY_LABEL, registryLabel } from "../../core/cacheregistry/labels.ts";
import { MANAGED_RESOURCES } from "../resources.ts";

/**
 * Deletes what was made for the registry of that name and uid. Says what is still there, by `Kind/name`: asked of the API server, not
 * of an informer, whose memory may be older than the last thing made. Empty means gone, Pods included: Deployments go after them.
 */
export async function teardown(
  client: Pick<KubeClient, "list" | "delete">,
  registry: { readonly name: string; readonly uid: string },
  namespace: string,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const labelSelector = `${MANAGED_SELECTOR},${REGISTRY_LABEL}=${registryLabel(registry.name)}`;
  const left: string[] = [];
  for (const resource of MANAGED_RESOURCES) {
    const { items } = await client.list<KubeObject>(resource, { namespace, labelSelector, signal });
    for (const { metadata } of items) {
      if (!metadata.ownerReferences?.some(({ uid }) => uid === registry.uid)) continue;
      left.push(`${resource.kind}/${metadata.name}`);
      if (metadata.deletionTimestamp !== undefined || metadata.uid === undefined) continue;
      await client.delete(resource, metadata.name, { namespace, uid: metadata.uid, propagation: "Foreground", signal });
    }
  }
  return left;
}
