import type { KubeClient, KubeObject } from "../../adapters/kube/types.ts";
import type { Log } from "../../adapters/telemetry/log.ts";
import { desiredObjects } from "../../core/cacheregistry/desired.ts";
import { changes } from "../../core/cacheregistry/diff.ts";
import type { Installation } from "../../core/cacheregistry/types.ts";
import type { CacheRegistryObject } from "../../crds/index.ts";
import { managedResource } from "../resources.ts";
import { removable } from "./readiness.ts";
import { canRoll, type ExaminedUpstream } from "./upstreams.ts";

/** What provisioning works with. */
export interface ProvisionDependencies {
  readonly client: Pick<KubeClient, "apply" | "delete">;
  readonly installation: Installation;
  /** What is live of everything that a CacheRegistry leads to, of all kinds. */
  readonly managed: () => readonly KubeObject[];
  readonly log: Log;
}

function ownedBy(registry: CacheRegistryObject, objects: readonly KubeObject[]): readonly KubeObject[] {
  return objects.filter(({ metadata }) => metadata.ownerReferences?.some(({ uid }) => uid === registry.metadata.uid));
}

/** Makes what is live for an in-cluster registry what it should be. Only differences are written: at rest there are none. */
export async function provision(
  registry: CacheRegistryObject,
  upstreams: readonly ExaminedUpstream[],
  dependencies: ProvisionDependencies,
  signal: AbortSignal,
): Promise<void> {
  const { client, installation, log } = dependencies;
  const { inCluster } = registry.spec;
  if (inCluster === undefined) return;
  const { name } = registry.metadata;
  const good = upstreams.flatMap((one) => (one.kind === "upstream" && canRoll(one) ? [one.upstream] : []));
  const desired = desiredObjects(registry.metadata, inCluster, good, installation);
  const live = ownedBy(registry, dependencies.managed());
  const { apply, remove } = changes(desired, removable(live, name, upstreams));
  for (const object of apply) {
    await client.apply(managedResource(object.kind), object, { signal });
    log.info("object applied", { registry: name, kind: object.kind, object: object.metadata.name });
  }
  for (const { kind, metadata } of remove) {
    const { namespace = installation.namespace, uid } = metadata;
    await client.delete(managedResource(kind), metadata.name, { namespace, ...(uid !== undefined && { uid }), signal });
    log.info("object removed, nothing uses it", { registry: name, kind, object: metadata.name });
  }
}
