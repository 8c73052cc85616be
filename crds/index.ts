/** The one door to the custom resources: models, the names of their parts, and the names that are part of the API. */
export * from "./conditions.ts";
export { CacheRegistry, type ICacheRegistry } from "./generated/entrepot.dev/v1alpha1/CacheRegistry.ts";
export { CacheRule, type ICacheRule } from "./generated/entrepot.dev/v1alpha1/CacheRule.ts";
export {
  ClusterImagePolicy,
  type IClusterImagePolicy,
} from "./generated/policy.sigstore.dev/v1alpha1/ClusterImagePolicy.ts";
export { type ITrustRoot, TrustRoot } from "./generated/policy.sigstore.dev/v1alpha1/TrustRoot.ts";
export {
  ClusterImagePolicy as ClusterImagePolicyV1Beta1,
  type IClusterImagePolicy as IClusterImagePolicyV1Beta1,
} from "./generated/policy.sigstore.dev/v1beta1/ClusterImagePolicy.ts";
export * from "./names.ts";
export * from "./resources.ts";
export * from "./types.ts";
