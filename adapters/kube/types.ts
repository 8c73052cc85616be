/** The Kubernetes objects as the adapters see them: plain JSON with metadata, narrowed at the edge by the generated models. */
export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
}

export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly generation?: number;
  readonly resourceVersion?: string;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly finalizers?: readonly string[];
  readonly ownerReferences?: readonly OwnerReference[];
}

export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
}

/** One REST resource: where its collection lives. */
export interface Resource {
  readonly group: string; // "" for the core group
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

/** `namespace/name`, or `name` for cluster-scoped objects. */
export type ObjectKey = string;

export interface KubeList<T> {
  readonly items: readonly T[];
  readonly resourceVersion: string;
}

export interface Scope {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

export type WatchEvent<T> =
  | { readonly type: "ADDED" | "MODIFIED" | "DELETED"; readonly object: T }
  | { readonly type: "BOOKMARK"; readonly resourceVersion: string };

/**
 * The Kubernetes API as this project uses it. Every call is bounded in time and in bytes and throws `KubeError`
 * (adapters/kube/errors.ts) with a code; a message never carries a response body or a header.
 */
export interface KubeClient {
  get<T extends KubeObject>(
    resource: Resource,
    name: string,
    options?: { namespace?: string; signal?: AbortSignal },
  ): Promise<T>;
  /** Metadata alone (`PartialObjectMetadata`): what inheritance reads. */
  getMetadata(
    resource: Resource,
    name: string,
    options?: { namespace?: string; signal?: AbortSignal },
  ): Promise<KubeObject>;
  list<T extends KubeObject>(resource: Resource, scope?: Scope & { signal?: AbortSignal }): Promise<KubeList<T>>;
  watch<T extends KubeObject>(
    resource: Resource,
    scope: Scope & { resourceVersion: string; signal: AbortSignal },
  ): AsyncIterable<WatchEvent<T>>;
  create<T extends KubeObject>(resource: Resource, object: T, options?: { signal?: AbortSignal }): Promise<T>;
  /** PUT: fails with CONFLICT when `metadata.resourceVersion` is not the live one. */
  replace<T extends KubeObject>(resource: Resource, object: T, options?: { signal?: AbortSignal }): Promise<T>;
  /** Server-side apply with the field manager `entrepot`, forced: we own what we write. */
  apply<T extends KubeObject>(resource: Resource, object: T, options?: { signal?: AbortSignal }): Promise<T>;
  /** Server-side apply of the status subresource; `fieldManager` for a part of it that another loop writes. */
  applyStatus<T extends KubeObject>(
    resource: Resource,
    object: T,
    options?: { signal?: AbortSignal; fieldManager?: string },
  ): Promise<T>;
  /** RFC 7396 merge patch. */
  mergePatch<T extends KubeObject>(
    resource: Resource,
    name: string,
    patch: object,
    options?: { namespace?: string; signal?: AbortSignal },
  ): Promise<T>;
  /** Deletes; NOT_FOUND is success. `uid` guards against deleting a namesake. */
  delete(
    resource: Resource,
    name: string,
    options?: { namespace?: string; uid?: string; propagation?: "Background" | "Foreground"; signal?: AbortSignal },
  ): Promise<void>;
}
