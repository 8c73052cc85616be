/** The raw bytes of a Secret of the system namespace by key; undefined where there is none. */
export type SecretLookup = (name: string) => Readonly<Record<string, Uint8Array>> | undefined;

/** The data of a ConfigMap of the system namespace; undefined where there is none. */
export type ConfigMapLookup = (name: string) => Readonly<Record<string, string>> | undefined;

/**
 * What the operator fetched for one policy from outside the cluster, so that webhook replicas need not and all judge by the same:
 * one ConfigMap per policy (`resolvedName`), written by the leader. An entry whose fetch failed keeps its last good value.
 */
export interface ResolvedPolicy {
  /** The generation of the policy whose needs were resolved. */
  readonly generation: number;
  /** PEM public key by KMS URI, as the policy writes it. */
  readonly keys: Readonly<Record<string, string>>;
  /** Body by `sha256sum` (lower-case hex) of remote CUE, Rego or CEL. Whoever reads it checks the sum again. */
  readonly documents: Readonly<Record<string, string>>;
  /** Why something is not there (or no longer fresh), by KMS URI or remote URL, in words for the user. */
  readonly problems: Readonly<Record<string, string>>;
}

/** Everything beyond its own spec that a policy is compiled from. Lookups do no I/O. */
export interface CompileSources {
  readonly secrets: SecretLookup;
  readonly configMaps: ConfigMapLookup;
  /** What was resolved for the policy with this UID. */
  readonly resolved: (policyUid: string) => ResolvedPolicy | undefined;
  /** The TrustedRoot (protobuf JSON) of a TrustRoot by name, or of the public-good instance for undefined; undefined where there is none. */
  readonly trustedRoot: (name: string | undefined) => string | undefined;
}
