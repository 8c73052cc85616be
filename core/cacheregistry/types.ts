/** An entry of `metadata.ownerReferences`. */
export interface Owner {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller: boolean;
  readonly blockOwnerDeletion: boolean;
}

/** A Kubernetes object that the project wants to exist: plain JSON, complete but for what the API server defaults. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly ownerReferences?: readonly Owner[];
  };
  readonly [field: string]: unknown;
}

/** Storage in a cloud's service: content in a folder of its own below `rootDirectory`. Without `secretRef` the Pod's own identity opens it. */
interface ObjectStorage {
  readonly rootDirectory?: string;
  readonly secretRef?: { readonly name: string };
}

/** `spec.inCluster.storage`: exactly one kind (CEL holds it). */
export interface InClusterStorage {
  readonly persistentVolumeClaim?: {
    readonly size: string;
    readonly storageClassName?: string;
    readonly accessModes?: readonly string[];
  };
  readonly emptyDir?: { readonly sizeLimit?: string };
  readonly s3?: ObjectStorage & {
    readonly bucket: string;
    readonly region: string;
    readonly endpoint?: string;
    readonly forcePathStyle?: boolean;
  };
  readonly azure?: ObjectStorage & {
    readonly accountName: string;
    readonly container: string;
    readonly realm?: string;
  };
  readonly gcs?: ObjectStorage & { readonly bucket: string };
}

/** What a storage's Secret holds. */
export type StorageCredentials =
  | { readonly kind: "s3"; readonly accessKeyId: string; readonly secretAccessKey: string }
  | { readonly kind: "azure"; readonly accountKey: string }
  | { readonly kind: "gcs"; readonly keyJson: string };

/** What a container asks for and may use. */
export interface PodResources {
  readonly requests?: { readonly cpu?: string; readonly memory?: string };
  readonly limits?: { readonly cpu?: string; readonly memory?: string };
}

/** `spec.inCluster` of a CacheRegistry, as far as the objects it leads to depend on it. */
export interface InClusterSpec {
  readonly pullHost: string;
  /** Gateway Pods. */
  readonly replicas?: number;
  readonly image?: string;
  readonly service?: { readonly type?: string; readonly nodePort?: number };
  readonly storage: InClusterStorage;
  readonly ttl?: string;
  /** Of the gateway's container. */
  readonly resources?: PodResources;
  /** The distributions behind the gateway. */
  readonly proxy?: {
    readonly replicas?: number;
    readonly resources?: PodResources;
    readonly serviceAccountName?: string;
  };
}

/** A user name and a password for one upstream, read from its Secret. */
export interface UpstreamCredentials {
  readonly username: string;
  readonly password: string;
}

/** One upstream host that an accepted rule uses, with everything that the proxy in front of it needs. */
export interface Upstream {
  readonly host: string;
  readonly plainHTTP: boolean;
  readonly caBundle?: string;
  readonly credentials?: UpstreamCredentials;
}

/** The CacheRegistry that owns what is made. */
export interface RegistryIdentity {
  readonly name: string;
  readonly uid: string;
}

/** What the operator brings along: where things run and which images they run. */
export interface Installation {
  readonly namespace: string;
  /** The operator's own image: the gateway is a subcommand of it. */
  readonly gatewayImage: string;
  readonly gatewayPullPolicy?: string;
  readonly gatewayServiceAccount: string;
  readonly distributionImage: string;
  readonly logLevel: string;
}
