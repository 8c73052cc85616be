/** Names that are part of the API: users, GitOps tools and scripts know them. */

/** Holds a CacheRegistry or a CacheRule until what was made for it is gone. */
export const FINALIZER = "entrepot.dev/cleanup";

/** policy-controller holds its objects with these; where it is gone, nobody else would let them go. */
export const FOREIGN_FINALIZER = {
  policy: "clusterimagepolicies.policy.sigstore.dev",
  trustRoot: "trustroots.policy.sigstore.dev",
} as const;

/** The manager of the fields that Entrepot applies on the server's side. */
export const FIELD_MANAGER = "entrepot";

export const LABEL = {
  /** On a namespace, with the value "true": its workloads are verified. */
  include: "policy.sigstore.dev/include",
  name: "app.kubernetes.io/name",
  component: "app.kubernetes.io/component",
  managedBy: "app.kubernetes.io/managed-by",
  /** On what was made for a CacheRegistry: its name. */
  registry: "entrepot.dev/registry",
  /** On a namespace, with the value "enabled": its Pods are given the cache's names. On a Pod, with the value "disabled": this one is not. */
  rewrite: "entrepot.dev/rewrite",
} as const;

/** The value of `LABEL.name` and of `LABEL.managedBy` on everything of ours. */
export const PRODUCT = "entrepot";

/** The values of `LABEL.component`. */
export const COMPONENT = { operator: "operator", webhook: "webhook", gateway: "gateway", cache: "cache" } as const;
export type Component = (typeof COMPONENT)[keyof typeof COMPONENT];

export const ANNOTATION = {
  /** On a ClusterImagePolicy: how long its results are believed, as a duration. */
  cacheTtl: "entrepot.dev/cache-ttl",
  /** On a CacheRegistry or a CacheRule: a new value asks for a comparison with the registry now. */
  reconcileAt: "entrepot.dev/reconcile-at",
  /** On a Pod whose images were rewritten: the names as they were written, as JSON by container (`volumes/<name>` for image volumes). */
  originalImages: "entrepot.dev/original-images",
  /** On a Pod of a rewriting namespace: why images that a CacheRule covers keep their names, as JSON in the same shape. */
  notRewritten: "entrepot.dev/not-rewritten",
} as const;
