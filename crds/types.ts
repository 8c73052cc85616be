/** Names for the parts of the generated models that the code speaks of. */
import type { ICacheRegistry } from "./generated/entrepot.dev/v1alpha1/CacheRegistry.ts";
import type { ICacheRule } from "./generated/entrepot.dev/v1alpha1/CacheRule.ts";
import type { IClusterImagePolicy } from "./generated/policy.sigstore.dev/v1alpha1/ClusterImagePolicy.ts";
import type { ITrustRoot } from "./generated/policy.sigstore.dev/v1alpha1/TrustRoot.ts";
import type { IClusterImagePolicy as IClusterImagePolicyV1Beta1 } from "./generated/policy.sigstore.dev/v1beta1/ClusterImagePolicy.ts";

/** The metadata that an object has once the API server has it. */
export interface ServedMetadata {
  readonly name: string;
  readonly uid: string;
  readonly generation: number;
  readonly resourceVersion: string;
  readonly creationTimestamp: string;
  readonly deletionTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly finalizers?: readonly string[];
}

/** An object of the model T as the API server returns it. */
export type Served<T> = Omit<T, "metadata"> & { readonly metadata: ServedMetadata };

export type CacheRegistryObject = Served<ICacheRegistry>;
export type CacheRegistrySpec = ICacheRegistry["spec"];
export type CacheRegistryStatus = NonNullable<ICacheRegistry["status"]>;
export type InClusterProvider = NonNullable<CacheRegistrySpec["inCluster"]>;
export type InClusterService = NonNullable<InClusterProvider["service"]>;
export type InClusterStorage = InClusterProvider["storage"];
export type PersistentVolumeClaimStorage = NonNullable<InClusterStorage["persistentVolumeClaim"]>;
export type EmptyDirStorage = NonNullable<InClusterStorage["emptyDir"]>;
export type Upstream = NonNullable<CacheRegistrySpec["upstreams"]>[number];
export type UpstreamCredentials = NonNullable<Upstream["credentials"]>;
export type UpstreamStatus = NonNullable<CacheRegistryStatus["upstreams"]>[number];

/** The provider blocks of a CacheRegistry, exactly one of which is set. */
export const PROVIDERS = [
  "inCluster",
  "azure",
  "ecr",
  "artifactRegistry",
  "harbor",
  "zot",
  "distribution",
] as const satisfies readonly (keyof CacheRegistrySpec)[];
export type Provider = (typeof PROVIDERS)[number];

export type CacheRuleObject = Served<ICacheRule>;
export type CacheRuleSpec = ICacheRule["spec"];
export type CacheRuleStatus = NonNullable<ICacheRule["status"]>;
export type CacheRuleRefresh = NonNullable<CacheRuleSpec["refresh"]>;
export type DeletionPolicy = NonNullable<CacheRuleSpec["deletionPolicy"]>;
export type AdoptionPolicy = NonNullable<CacheRuleSpec["adoptionPolicy"]>;

/** A condition of a CacheRegistry or a CacheRule: all fields but observedGeneration are required. */
export type Condition = NonNullable<CacheRuleStatus["conditions"]>[number];

/** A ClusterImagePolicy of either version. What it means is its spec after `defaultClusterImagePolicy` (core/policy). */
export type ClusterImagePolicyObject = Served<IClusterImagePolicy | IClusterImagePolicyV1Beta1>;
export type ClusterImagePolicySpec = NonNullable<IClusterImagePolicy["spec"]>;
export type ClusterImagePolicyStatus = NonNullable<IClusterImagePolicy["status"]>;
export type ImagePattern = NonNullable<ClusterImagePolicySpec["images"]>[number];
export type MatchResource = NonNullable<ClusterImagePolicySpec["match"]>[number];
export type LabelSelector = NonNullable<MatchResource["selector"]>;
export type Authority = NonNullable<ClusterImagePolicySpec["authorities"]>[number];
export type KeyRef = NonNullable<Authority["key"]>;
export type KeylessRef = NonNullable<Authority["keyless"]>;
export type Identity = NonNullable<KeylessRef["identities"]>[number];
export type StaticRef = NonNullable<Authority["static"]>;
export type SignatureSource = NonNullable<Authority["source"]>[number];
export type TransparencyLogRef = NonNullable<Authority["ctlog"]>;
export type TimestampRef = NonNullable<Authority["rfc3161timestamp"]>;
export type Attestation = NonNullable<Authority["attestations"]>[number];
export type EvaluatedPolicy = NonNullable<ClusterImagePolicySpec["policy"]>;
/** A condition of a ClusterImagePolicy or a TrustRoot: type and status are required. */
export type PolicyCondition = NonNullable<ClusterImagePolicyStatus["conditions"]>[number];

export type TrustRootObject = Served<ITrustRoot>;
export type TrustRootSpec = NonNullable<ITrustRoot["spec"]>;
export type TrustRootStatus = NonNullable<ITrustRoot["status"]>;
export type TufRemote = NonNullable<TrustRootSpec["remote"]>;
export type TufRepository = NonNullable<TrustRootSpec["repository"]>;
export type SigstoreKeys = NonNullable<TrustRootSpec["sigstoreKeys"]>;
export type CertificateAuthority = NonNullable<SigstoreKeys["certificateAuthorities"]>[number];
export type TransparencyLog = NonNullable<SigstoreKeys["tLogs"]>[number];
