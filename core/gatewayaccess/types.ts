/** What `spec.inCluster` of a CacheRegistry says of who may pull, and how the gateway is served. */
export interface GatewaySpec {
  readonly pullHost: string;
  readonly anonymous?: boolean;
  readonly clients?: {
    readonly secretRefs?: readonly { readonly name: string }[];
    readonly serviceAccounts?: { readonly audience?: string; readonly namespaces?: readonly string[] };
  };
  readonly tls?: { readonly secretRef?: { readonly name: string }; readonly selfSigned?: object };
  readonly limits?: { readonly requestsPerSecond?: number; readonly concurrentRequests?: number };
}

/** A user that the gateway lets in: the password is not among what is known of it. */
export interface ClientUser {
  /** The Secret that it comes from: when spec no longer names it, the user is no longer let in. */
  readonly secret: string;
  readonly username: string;
  /** Base64. */
  readonly salt: string;
  /** scrypt of the password (passwords.ts), base64. */
  readonly hash: string;
}

/** What a gateway reads of the clients that have passwords: the content of `access.json`. */
export interface AccessDocument {
  readonly users: readonly ClientUser[];
}

/** Something that the platform has to put right; the message names the Secret, and holds no byte of it. */
export interface AccessProblem {
  readonly reason: "SecretNotFound" | "SecretInvalid";
  readonly message: string;
}
