/** The conditions in the status of the four kinds, and the reasons that programs may compare. */

export const CONDITION = {
  /** Every kind: it does what its spec says. */
  Ready: "Ready",
  /** CacheRule: it can be served as it is written. */
  Accepted: "Accepted",
  /** CacheRule: the registry has it. */
  Synced: "Synced",
  /** CacheRule: the upstream takes the credentials. Absent when it is read anonymously. */
  CredentialsHealthy: "CredentialsHealthy",
  /** CacheRule: the upstream answers. */
  UpstreamReachable: "UpstreamReachable",
  /** CacheRegistry: the host that nodes pull from answers. Absent for the one in the cluster, whose rules say so. */
  Reachable: "Reachable",
  /** ClusterImagePolicy, TrustRoot: the keys were read. */
  KeysInlined: "KeysInlined",
  /** ClusterImagePolicy: the CUE and Rego were read. */
  PoliciesInlined: "PoliciesInlined",
  /** ClusterImagePolicy, TrustRoot: the webhooks were given the result. */
  ConfigMapUpdated: "ConfigMapUpdated",
  /** Any kind, present only when true: work is under way. */
  Reconciling: "Reconciling",
  /** Any kind, present only when true: nothing will happen until someone changes something. */
  Stalled: "Stalled",
} as const;
export type ConditionType = (typeof CONDITION)[keyof typeof CONDITION];

/** Reasons of conditions, of the condition that each is listed under. */
export const REASON = {
  // Accepted
  Accepted: "Accepted",
  UnsupportedShape: "UnsupportedShape",
  UnsupportedUpstream: "UnsupportedUpstream",
  UnsupportedProvider: "UnsupportedProvider",
  Conflict: "Conflict",
  RegistryNotFound: "RegistryNotFound",
  LimitExceeded: "LimitExceeded",
  ImmutableChange: "ImmutableChange",
  InvalidSpec: "InvalidSpec",
  // Synced
  InSync: "InSync",
  Creating: "Creating",
  Updating: "Updating",
  Deleting: "Deleting",
  Drifted: "Drifted",
  DriftCorrected: "DriftCorrected",
  LeftBehind: "LeftBehind",
  ForeignRule: "ForeignRule",
  RepositoryExists: "RepositoryExists",
  RemoteError: "RemoteError",
  Throttled: "Throttled",
  // CredentialsHealthy
  Healthy: "Healthy",
  Unhealthy: "Unhealthy",
  SecretNotFound: "SecretNotFound",
  SecretInvalid: "SecretInvalid",
  Unknown: "Unknown",
  // UpstreamReachable and Reachable
  Reachable: "Reachable",
  Unreachable: "Unreachable",
  UpstreamUnreachable: "UpstreamUnreachable",
  // Ready of CacheRegistry and CacheRule
  Ready: "Ready",
  NotAccepted: "NotAccepted",
  NotSynced: "NotSynced",
  CredentialsUnhealthy: "CredentialsUnhealthy",
  ServingFromCache: "ServingFromCache",
  GatewayNotReady: "GatewayNotReady",
  BackendNotReady: "BackendNotReady",
  RegistryNotReady: "RegistryNotReady",
  SignInFailed: "SignInFailed",
  Progressing: "Progressing",
  Suspended: "Suspended",
  RulesRemain: "RulesRemain",
  DuplicateRegistry: "DuplicateRegistry",
  // ClusterImagePolicy and TrustRoot
  Enforced: "Enforced",
  Inlined: "Inlined",
  Updated: "Updated",
  LastGood: "LastGood",
  WaitingForWebhooks: "WaitingForWebhooks",
  CompileFailed: "CompileFailed",
  InliningKeysFailed: "InliningKeysFailed",
  InliningPoliciesFailed: "InliningPoliciesFailed",
  UpdatingConfigMap: "UpdatingConfigMap",
} as const;
export type Reason = (typeof REASON)[keyof typeof REASON];
