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

/** `spec.inCluster.storage`: exactly one of the two (CEL holds it). */
export interface InClusterStorage {
  readonly persistentVolumeClaim?: {
    readonly size: string;
    readonly storageClassName?: string;
    readonly accessModes?: readonly string[];
  };
  readonly emptyDir?: { readonly sizeLimit?: string };
}

/** `spec.inCluster` of a CacheRegistry, as far as the objects it leads to depend on it. */
export interface InClusterSpec {
  readonly pullHost: string;
  readonly replicas?: number;
  readonly image?: string;
  readonly service?: { readonly type?: string; readonly nodePort?: number };
  readonly storage: InClusterStorage;
  readonly ttl?: string;
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
