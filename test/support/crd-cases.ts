/** Objects of entrepot.dev that the API server must take and must refuse, with what it must say. */

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

const rule = (spec: object = {}): Unnamed => ({
  apiVersion: "entrepot.dev/v1alpha1",
  kind: "CacheRule",
  spec: { registryRef: { name: "in-cluster" }, source: "docker.io/library/nginx", target: "nginx", ...spec },
});

const registry = (spec: object): Unnamed => ({ apiVersion: "entrepot.dev/v1alpha1", kind: "CacheRegistry", spec });

const STORAGE = { emptyDir: {} };
const inCluster = (spec: object = {}, more: object = {}): Unnamed =>
  registry({ inCluster: { pullHost: "localhost:30500", storage: STORAGE, ...spec }, ...more });
const upstream = (
  entry: object,
  provider: object = { inCluster: { pullHost: "localhost:30500", storage: STORAGE } },
): Unnamed => registry({ ...provider, upstreams: [{ host: "docker.io", ...entry }] });
const claim = (spec: object): Unnamed => inCluster({ storage: { persistentVolumeClaim: { size: "10Gi", ...spec } } });

const PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
const SECRET = { secretRef: { name: "s" } };
const VAULT = { keyVault: { usernameSecretId: "https://v/secrets/u", passwordSecretId: "https://v/secrets/p" } };
const ARN = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:ecr-pullthroughcache/hub-AbCdEf";
const ROLE = "arn:aws:iam::111122223333:role/ecr-reader";
const VERSION = { secretManagerVersion: { username: "u", passwordSecretVersion: "projects/p/secrets/s/versions/1" } };

const azure = (more: object = {}) => ({
  azure: {
    subscriptionId: "00000000-0000-0000-0000-000000000000",
    resourceGroup: "rg",
    registryName: "example",
    auth: { workloadIdentity: {} },
    ...more,
  },
});
const ecr = (more: object = {}) => ({
  ecr: { region: "eu-central-1", accountId: "111122223333", auth: { serviceAccount: {} }, ...more },
});
const artifactRegistry = (more: object = {}) => ({
  artifactRegistry: { project: "example-project", location: "europe-west3", auth: { workloadIdentity: {} }, ...more },
});
const harbor = (more: object = {}) => ({ harbor: { url: "https://harbor.example.com", auth: SECRET, ...more } });
const own = {
  configMapRef: { name: "c", key: "config.json" },
  workloadRef: { kind: "StatefulSet", name: "zot" },
  pullHost: "zot.example.com",
};

export const VALID_OBJECTS: readonly ValidObject[] = [
  { name: "an exact rule", object: rule() },
  { name: "a rule without library/", object: rule({ source: "docker.io/nginx" }) },
  { name: "a rule for a path", object: rule({ source: "ghcr.io/acme/*", target: "acme/*" }) },
  { name: "a rule for a path to the root", object: rule({ source: "ghcr.io/acme/*", target: "*" }) },
  { name: "a rule for a host", object: rule({ source: "quay.io/*", target: "quay/*" }) },
  {
    name: "a rule for a host with a port",
    object: rule({ source: "registry.local:5000/a/b_c/d--e", target: "a.b/c__d" }),
  },
  { name: "a rule for localhost", object: rule({ source: "localhost/a" }) },
  {
    name: "a rule with everything",
    object: rule({
      refresh: { interval: "1h30m", tags: [{ glob: "v1.*" }, { semver: ">=1.0.0 <2" }], keep: 3 },
      rewrite: "Never",
      deletionPolicy: "Retain",
      adoptionPolicy: "Never",
      suspend: true,
    }),
  },
  {
    name: "a rule of the longest names",
    object: rule({ source: `ghcr.io/${"a".repeat(247)}`, target: "b".repeat(255) }),
  },
  { name: "an in-cluster registry", object: inCluster() },
  { name: "one by a host name", object: inCluster({ pullHost: "cache.example.com" }) },
  {
    name: "one with everything",
    object: inCluster(
      {
        replicas: 3,
        image: "registry.example.com/distribution:3.0.0",
        service: { type: "NodePort", nodePort: 30500 },
        storage: { persistentVolumeClaim: { size: "10Gi", storageClassName: "fast", accessModes: ["ReadWriteOnce"] } },
        ttl: "0s",
      },
      {
        upstreams: [
          { host: "docker.io", credentials: SECRET },
          { host: "registry.local:5000", plainHTTP: true, credentials: SECRET },
          { host: "harbor.example.com", caBundle: PEM },
          { host: "plain.example.com", plainHTTP: false, caBundle: PEM },
        ],
        limit: 100,
        driftInterval: "10s",
      },
    ),
  },
  { name: "one with a claim of fractions", object: claim({ size: "1.5Ti" }) },
  { name: "one with a limited emptyDir", object: inCluster({ storage: { emptyDir: { sizeLimit: "5Gi" } } }) },
  {
    name: "Azure",
    object: registry({
      ...azure({ endpoint: "https://management.chinacloudapi.cn" }),
      upstreams: [
        { host: "docker.io", credentials: VAULT },
        { host: "ghcr.io", credentials: { credentialSetName: "hub-creds" } },
      ],
    }),
  },
  { name: "Azure with a client secret", object: registry(azure({ auth: { clientSecretRef: { name: "s" } } })) },
  {
    name: "Amazon",
    object: registry({
      ...ecr(),
      upstreams: [
        { host: "docker.io", credentials: { secretsManagerArn: ARN } },
        { host: "111122223333.dkr.ecr.eu-west-1.amazonaws.com", credentials: { roleArn: ROLE } },
      ],
    }),
  },
  {
    name: "Google",
    object: registry({ ...artifactRegistry(), upstreams: [{ host: "docker.io", credentials: VERSION }] }),
  },
  {
    name: "Harbor",
    object: registry({
      ...harbor({ caBundleRef: { name: "ca", key: "ca.crt" } }),
      upstreams: [{ host: "docker.io", credentials: SECRET, caBundle: PEM }],
    }),
  },
  {
    name: "zot",
    object: registry({
      zot: { ...own, credentialsSecretName: "creds" },
      upstreams: [{ host: "docker.io", credentials: SECRET }],
    }),
  },
  { name: "distribution", object: registry({ distribution: own }) },
];

const HOST =
  "not a registry host: write host or host:port in lower case, without scheme and path, e.g. docker.io or registry.example.com:5000";
const SIZE = "not a size: write a positive quantity, e.g. 50Gi";
const IMAGE_NAME =
  "not an image name: write <host>/<path>, <host>/<path>/* or <host>/*, path segments of letters, digits and . _ - between them";
const CACHE_NAME =
  "not a name in the cache: write path segments of letters, digits and . _ - between them, separated by /, e.g. hub/nginx";
const TAG = "remove the tag or digest: a rule covers every tag of an image";
const BEGIN = "begin with the registry's host, e.g. docker.io/library/nginx";
const STARS = "use * only as the last path segment, e.g. ghcr.io/acme/* or quay.io/*";
const BOTH_STARS = "end both source and target with /* (the target may be * alone), or neither";
const DIGEST = `sha256:${"a".repeat(64)}`;
const REFRESH = "not an interval: write a duration of at least 1m, e.g. 30m, 6h or 24h";
const DRIFT = "not an interval: write a duration of at least 10s, e.g. 30s, 10m or 1h";
const PROVIDER = "set exactly one provider: inCluster, azure, ecr, artifactRegistry, harbor, zot or distribution";
const CLOUD_TLS =
  "plainHTTP and caBundle need a registry that can be told so: inCluster, harbor, zot or distribution; a cloud registry trusts public certificates only";
const CLOUD_SECRET =
  "credentials.secretRef is for inCluster, harbor, zot and distribution: a cloud registry reads credentials from its own vault (azure: keyVault or credentialSetName; ecr: secretsManagerArn or roleArn; artifactRegistry: secretManagerVersion)";
const ONE_CREDENTIAL =
  "set exactly one form of credentials: secretRef, keyVault, credentialSetName, secretsManagerArn, roleArn or secretManagerVersion";

const BAD_RULES: readonly InvalidObject[] = [
  {
    name: "a rule with an upper-case source",
    object: rule({ source: "docker.io/Nginx" }),
    says: "write the source in lower case: registries know no other names",
  },
  { name: "a rule with a tag", object: rule({ source: "docker.io/nginx:1.27" }), says: TAG },
  { name: "a rule with a numeric tag", object: rule({ source: "docker.io/nginx:1" }), says: TAG },
  { name: "a rule with a digest", object: rule({ source: `docker.io/nginx@${DIGEST}` }), says: TAG },
  {
    name: "a rule with a scheme",
    object: rule({ source: "https://docker.io/nginx" }),
    says: "remove the scheme: a source begins with the registry's host, e.g. docker.io/library/nginx",
  },
  { name: "a rule without a host", object: rule({ source: "library/nginx" }), says: BEGIN },
  { name: "a rule of one word", object: rule({ source: "nginx" }), says: BEGIN },
  { name: "a rule of a host alone", object: rule({ source: "docker.io" }), says: BEGIN },
  { name: "a rule with a star in a segment", object: rule({ source: "ghcr.io/ac*/x" }), says: STARS },
  { name: "a rule with a star in the middle", object: rule({ source: "ghcr.io/*/x" }), says: STARS },
  { name: "a rule with two stars", object: rule({ source: "ghcr.io/**", target: "g/*" }), says: STARS, alone: false },
  { name: "a rule with an empty segment", object: rule({ source: "docker.io//nginx" }), says: IMAGE_NAME },
  { name: "a rule with a slash at the end", object: rule({ source: "docker.io/nginx/" }), says: IMAGE_NAME },
  { name: "a rule with a segment of a wrong form", object: rule({ source: "docker.io/-nginx" }), says: IMAGE_NAME },
  { name: "a rule with an impossible host", object: rule({ source: "do_cker.io/nginx" }), says: IMAGE_NAME },
  {
    name: "a rule with an upper-case target",
    object: rule({ target: "Nginx" }),
    says: "write the target in lower case: registries know no other names",
  },
  {
    name: "a rule with a tag in its target",
    object: rule({ target: "nginx:1" }),
    says: "remove the host, tag or digest: a target is a path in the cache, e.g. hub/nginx",
  },
  {
    name: "a rule with a star in its target",
    object: rule({ source: "ghcr.io/acme/*", target: "a*/*" }),
    says: "use * alone or as the last path segment, e.g. hub/*",
  },
  { name: "a rule with a slash before its target", object: rule({ target: "/nginx" }), says: CACHE_NAME },
  { name: "a rule with a target of dots", object: rule({ target: "../nginx" }), says: CACHE_NAME },
  {
    name: "a rule with a star in its source alone",
    object: rule({ source: "ghcr.io/acme/*", target: "acme" }),
    says: BOTH_STARS,
  },
  { name: "a rule with a star in its target alone", object: rule({ target: "hub/*" }), says: BOTH_STARS },
  {
    name: "a rule with a source too long",
    object: rule({ source: `ghcr.io/${"a".repeat(248)}` }),
    says: "may not be more than 255 bytes",
    alone: false,
  },
  {
    name: "a rule without a target",
    object: rule({ target: undefined }),
    says: "spec.target: Required value",
    alone: false,
  },
  {
    name: "a rule of another deletion policy",
    object: rule({ deletionPolicy: "Keep" }),
    says: 'supported values: "Delete", "Retain"',
    alone: false,
  },
  { name: "a refresh too often", object: rule({ refresh: { interval: "1s" } }), says: REFRESH },
  { name: "a refresh of no duration", object: rule({ refresh: { interval: "daily" } }), says: REFRESH },
  {
    name: "a refresh of both kinds of tags",
    object: rule({ refresh: { interval: "1h", tags: [{ glob: "a", semver: "1" }] } }),
    says: "set exactly one of glob and semver in each entry of tags",
  },
  {
    name: "a refresh of an empty entry",
    object: rule({ refresh: { interval: "1h", tags: [{}] } }),
    says: "set exactly one of glob and semver in each entry of tags",
  },
  {
    name: "a refresh of no tag",
    object: rule({ refresh: { interval: "1h", tags: [{ glob: "a/b" }] } }),
    says: "not a tag pattern: write letters, digits, . _ - and *",
  },
];

const BAD_REGISTRIES: readonly InvalidObject[] = [
  { name: "a registry of no kind", object: registry({}), says: PROVIDER },
  { name: "a registry of two kinds", object: registry({ ...harbor(), ...ecr() }), says: PROVIDER },
  {
    name: "a registry of a long name",
    object: { ...inCluster(), metadata: { name: "n".repeat(64) } },
    says: "the name is used as a label value: choose one of at most 63 characters",
  },
  { name: "a pull host with a scheme", object: inCluster({ pullHost: "http://localhost" }), says: HOST },
  { name: "a pull host with a path", object: inCluster({ pullHost: "localhost/x" }), says: HOST },
  { name: "an upstream in upper case", object: upstream({ host: "Docker.io" }), says: HOST },
  {
    name: "no storage",
    object: inCluster({ storage: {} }),
    says: "set exactly one kind of storage: persistentVolumeClaim or emptyDir",
  },
  {
    name: "two kinds of storage",
    object: inCluster({ storage: { emptyDir: {}, persistentVolumeClaim: { size: "1Gi" } } }),
    says: "set exactly one kind of storage: persistentVolumeClaim or emptyDir",
  },
  { name: "a claim of no size", object: claim({ size: "big" }), says: SIZE },
  { name: "a claim of nothing", object: claim({ size: "0" }), says: SIZE },
  { name: "an emptyDir of no size", object: inCluster({ storage: { emptyDir: { sizeLimit: "-1Gi" } } }), says: SIZE },
  {
    name: "a time to live of no duration",
    object: inCluster({ ttl: "a week" }),
    says: "not a duration: write a number with its unit, e.g. 90m, 24h or 168h",
  },
  {
    name: "a node port without its type",
    object: inCluster({ service: { nodePort: 30500 } }),
    says: "nodePort needs type: NodePort",
  },
  {
    name: "a node port of a cluster IP",
    object: inCluster({ service: { type: "ClusterIP", nodePort: 30500 } }),
    says: "nodePort needs type: NodePort",
  },
  { name: "a drift interval too short", object: inCluster({}, { driftInterval: "9s" }), says: DRIFT },
  { name: "a drift interval of no duration", object: inCluster({}, { driftInterval: "5 minutes" }), says: DRIFT },
  {
    name: "Docker Hub twice",
    object: inCluster({}, { upstreams: [{ host: "docker.io" }, { host: "index.docker.io" }] }),
    says: "docker.io, index.docker.io and registry-1.docker.io are one upstream: keep only docker.io",
  },
  {
    name: "an upstream twice",
    object: inCluster({}, { upstreams: [{ host: "ghcr.io" }, { host: "ghcr.io" }] }),
    says: "Duplicate value",
    alone: false,
  },
  {
    name: "a bundle for plain HTTP",
    object: upstream({ plainHTTP: true, caBundle: PEM }),
    says: "caBundle has no meaning with plainHTTP: remove one of the two",
  },
  {
    name: "a bundle of no certificates",
    object: upstream({ caBundle: "/etc/ssl/ca.crt" }),
    says: "not a bundle of certificates: write PEM, -----BEGIN CERTIFICATE----- and what follows",
  },
  { name: "credentials of no form", object: upstream({ credentials: {} }), says: ONE_CREDENTIAL },
  {
    name: "credentials of two forms",
    object: upstream({ credentials: { ...VAULT, credentialSetName: "hub-creds" } }, azure()),
    says: ONE_CREDENTIAL,
  },
  { name: "plain HTTP on Azure", object: upstream({ plainHTTP: true }, azure()), says: CLOUD_TLS },
  { name: "a bundle on Google", object: upstream({ caBundle: PEM }, artifactRegistry()), says: CLOUD_TLS },
  { name: "a Secret on Amazon", object: upstream({ credentials: SECRET }, ecr()), says: CLOUD_SECRET },
  {
    name: "Azure's vault in the cluster",
    object: upstream({ credentials: VAULT }),
    says: "credentials.keyVault and credentials.credentialSetName are for azure",
  },
  {
    name: "Amazon's secret on Google",
    object: upstream({ credentials: { secretsManagerArn: ARN } }, artifactRegistry()),
    says: "credentials.secretsManagerArn and credentials.roleArn are for ecr",
  },
  {
    name: "Google's secret on Harbor",
    object: upstream({ credentials: VERSION }, harbor()),
    says: "credentials.secretManagerVersion is for artifactRegistry",
  },
  {
    name: "a secret that ECR does not read",
    object: upstream(
      { credentials: { secretsManagerArn: "arn:aws:secretsmanager:eu-central-1:111122223333:secret:hub" } },
      ecr(),
    ),
    says: "not a usable secret: ECR reads only Secrets Manager secrets whose name begins with ecr-pullthroughcache/, given by their ARN",
  },
  {
    name: "Azure without a way in",
    object: registry(azure({ auth: {} })),
    says: "set exactly one way to sign in: workloadIdentity or clientSecretRef",
  },
  {
    name: "Amazon with two ways in",
    object: registry(ecr({ auth: { serviceAccount: {}, roleArn: ROLE } })),
    says: "set exactly one way to sign in: serviceAccount, roleArn or secretRef",
  },
  {
    name: "Google with two ways in",
    object: registry(artifactRegistry({ auth: { workloadIdentity: {}, ...SECRET } })),
    says: "set exactly one way to sign in: workloadIdentity or secretRef",
  },
  {
    name: "an endpoint without TLS",
    object: registry(ecr({ endpoint: "http://localhost:4566" })),
    says: "not an endpoint: write a URL that begins with https://",
  },
  {
    name: "a Harbor with a path",
    object: registry(harbor({ url: "https://harbor.example.com/harbor" })),
    says: "not Harbor's URL: write scheme and host without a path, e.g. https://harbor.example.com",
  },
  {
    name: "a workload of another kind",
    object: registry({ zot: { ...own, workloadRef: { kind: "Pod", name: "zot" } } }),
    says: "supported values",
    alone: false,
  },
];

export const INVALID_OBJECTS: readonly InvalidObject[] = [...BAD_RULES, ...BAD_REGISTRIES];

export const INVALID_UPDATES: readonly InvalidUpdate[] = [
  {
    name: "a rule's registry",
    from: rule(),
    to: rule({ registryRef: { name: "other" } }),
    says: "registryRef cannot be changed: create a CacheRule of another name, then delete this one",
  },
  {
    name: "a rule's source",
    from: rule(),
    to: rule({ source: "docker.io/library/httpd" }),
    says: "source cannot be changed: create a CacheRule of another name, then delete this one",
  },
  {
    name: "a rule's target",
    from: rule(),
    to: rule({ target: "other" }),
    says: "target cannot be changed: create a CacheRule of another name, then delete this one",
  },
  {
    name: "a registry's provider",
    from: inCluster(),
    to: registry(harbor()),
    says: "the provider cannot be changed: create another CacheRegistry and move the rules to it",
  },
  {
    name: "a claim's storage class",
    from: claim({ storageClassName: "slow" }),
    to: claim({ storageClassName: "fast" }),
    says: "the storage class of a claim cannot be changed: create another CacheRegistry",
  },
  {
    name: "a claim's storage class, taken away",
    from: claim({ storageClassName: "slow" }),
    to: claim({}),
    says: "the storage class of a claim cannot be changed: create another CacheRegistry",
  },
  {
    name: "a claim's access modes",
    from: claim({ accessModes: ["ReadWriteOnce"] }),
    to: claim({ accessModes: ["ReadWriteMany"] }),
    says: "the access modes of a claim cannot be changed: create another CacheRegistry",
  },
  {
    name: "a claim's size to a smaller one",
    from: claim({ size: "10Gi" }),
    to: claim({ size: "9Gi" }),
    says: "a claim cannot shrink: keep the size or raise it",
  },
];
