import { isDeepStrictEqual } from "node:util";
import type { KubeObject } from "../../adapters/kube/types.ts";
import {
  RESOLVED_FIELD,
  type Resolution,
  resolvedLabels,
  resolvedName,
  writeResolved,
} from "../../core/policy/resolved.ts";
import { CLUSTER_IMAGE_POLICIES, type ClusterImagePolicyObject } from "../../crds/index.ts";

/** A ConfigMap, as far as it is read. */
export interface ConfigMapObject extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

/** The ConfigMap that hands a resolution to the webhooks. The policy owns it, and so it goes when the policy does. */
export function resolvedConfigMap(
  policy: ClusterImagePolicyObject,
  resolution: Resolution,
  namespace: string,
): ConfigMapObject {
  const { group, version, kind } = CLUSTER_IMAGE_POLICIES;
  const { name, uid } = policy.metadata;
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: {
      name: resolvedName(uid),
      namespace,
      labels: resolvedLabels(uid),
      ownerReferences: [{ apiVersion: `${group}/${version}`, kind, name, uid }],
    },
    data: { [RESOLVED_FIELD]: writeResolved(resolution) },
  };
}

/** Whether the live ConfigMap says what it should, and nothing else. */
export function isAsWanted(live: ConfigMapObject | undefined, wanted: ConfigMapObject): boolean {
  if (live === undefined || !isDeepStrictEqual(live.data, wanted.data)) return false;
  const { labels = {}, ownerReferences = [] } = live.metadata;
  const hasLabels = Object.entries(wanted.metadata.labels ?? {}).every(([name, value]) => labels[name] === value);
  const [owner] = wanted.metadata.ownerReferences ?? [];
  return hasLabels && ownerReferences.some(({ uid }) => uid === owner?.uid);
}

/** The name of the policy that a ConfigMap belongs to. */
export function ownerOf(configMap: KubeObject | undefined): string | undefined {
  return configMap?.metadata.ownerReferences?.find(({ kind }) => kind === CLUSTER_IMAGE_POLICIES.kind)?.name;
}
