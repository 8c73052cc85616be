/** Where a kind's collection lives in the Kubernetes API. */
export interface CustomResource {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

export const ENTREPOT_GROUP = "entrepot.dev";
export const POLICY_GROUP = "policy.sigstore.dev";

export const CACHE_REGISTRIES = {
  group: ENTREPOT_GROUP,
  version: "v1alpha1",
  plural: "cacheregistries",
  kind: "CacheRegistry",
  namespaced: false,
} as const satisfies CustomResource;

export const CACHE_RULES = {
  group: ENTREPOT_GROUP,
  version: "v1alpha1",
  plural: "cacherules",
  kind: "CacheRule",
  namespaced: false,
} as const satisfies CustomResource;

/** In the version that is stored; v1beta1 is the same object under another name. */
export const CLUSTER_IMAGE_POLICIES = {
  group: POLICY_GROUP,
  version: "v1alpha1",
  plural: "clusterimagepolicies",
  kind: "ClusterImagePolicy",
  namespaced: false,
} as const satisfies CustomResource;

export const TRUST_ROOTS = {
  group: POLICY_GROUP,
  version: "v1alpha1",
  plural: "trustroots",
  kind: "TrustRoot",
  namespaced: false,
} as const satisfies CustomResource;

export const CUSTOM_RESOURCES = [CACHE_REGISTRIES, CACHE_RULES, CLUSTER_IMAGE_POLICIES, TRUST_ROOTS] as const;
