/** Objects of entrepot.dev for tests of their definitions, and what is expected of them. */

export interface Unnamed {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata?: { readonly name?: string };
  readonly spec: object;
}

export interface ValidObject {
  readonly name: string;
  readonly object: Unnamed;
}

export interface InvalidObject extends ValidObject {
  readonly says: string;
  /** Whether nothing else is said: one mistake, one message. True unless told otherwise. */
  readonly alone?: boolean;
}

export interface InvalidUpdate {
  readonly name: string;
  readonly from: Unnamed;
  readonly to: Unnamed;
  readonly says: string;
}

/** A CacheRule of Docker Hub's nginx, but for what `spec` says. */
export const rule = (spec: object = {}): Unnamed => ({
  apiVersion: "entrepot.dev/v1alpha1",
  kind: "CacheRule",
  spec: { registryRef: { name: "in-cluster" }, source: "docker.io/library/nginx", target: "nginx", ...spec },
});

/** A CacheRegistry. */
export const registry = (spec: object): Unnamed => ({
  apiVersion: "entrepot.dev/v1alpha1",
  kind: "CacheRegistry",
  spec,
});

/** Storage that needs nothing. */
export const STORAGE = { emptyDir: {} };
/** An in-cluster registry, but for what `spec` says; `more` is beside the provider block. */
export const inCluster = (spec: object = {}, more: object = {}): Unnamed =>
  registry({ inCluster: { pullHost: "localhost:30500", storage: STORAGE, ...spec }, ...more });
/** A registry with one entry in `spec.upstreams`. */
export const upstream = (
  entry: object,
  provider: object = { inCluster: { pullHost: "localhost:30500", storage: STORAGE } },
): Unnamed => registry({ ...provider, upstreams: [{ host: "docker.io", ...entry }] });
/** An in-cluster registry on a claim. */
export const claim = (spec: object): Unnamed =>
  inCluster({ storage: { persistentVolumeClaim: { size: "10Gi", ...spec } } });

/** What a bundle of certificates begins like. */
export const PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
/** Credentials in a Secret. */
export const SECRET = { secretRef: { name: "s" } };
/** Credentials in Azure's vault. */
export const VAULT = { keyVault: { usernameSecretId: "https://v/secrets/u", passwordSecretId: "https://v/secrets/p" } };
/** A secret that ECR reads. */
export const ARN = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:ecr-pullthroughcache/hub-AbCdEf";
/** A role. */
export const ROLE = "arn:aws:iam::111122223333:role/ecr-reader";
/** Credentials in Google's Secret Manager. */
export const VERSION = {
  secretManagerVersion: { username: "u", passwordSecretVersion: "projects/p/secrets/s/versions/1" },
};

/** A block for Azure. */
export const azure = (more: object = {}) => ({
  azure: {
    subscriptionId: "00000000-0000-0000-0000-000000000000",
    resourceGroup: "rg",
    registryName: "example",
    auth: { workloadIdentity: {} },
    ...more,
  },
});
/** A block for Amazon. */
export const ecr = (more: object = {}) => ({
  ecr: { region: "eu-central-1", accountId: "111122223333", auth: { serviceAccount: {} }, ...more },
});
/** A block for Google. */
export const artifactRegistry = (more: object = {}) => ({
  artifactRegistry: { project: "example-project", location: "europe-west3", auth: { workloadIdentity: {} }, ...more },
});
/** A block for Harbor. */
export const harbor = (more: object = {}) => ({ harbor: { url: "https://harbor.example.com", auth: SECRET, ...more } });
/** A block for zot or distribution. */
export const own = {
  configMapRef: { name: "c", key: "config.json" },
  workloadRef: { kind: "StatefulSet", name: "zot" },
  pullHost: "zot.example.com",
};
