/** CacheRegistries that the API server must refuse. */
import {
  ARN,
  artifactRegistry,
  azure,
  claim,
  ecr,
  harbor,
  type InvalidObject,
  inCluster,
  own,
  PEM,
  ROLE,
  registry,
  SECRET,
  upstream,
  VAULT,
  VERSION,
} from "./crd-objects.ts";

const HOST =
  "not a registry host: write host or host:port in lower case, without scheme and path, e.g. docker.io or registry.example.com:5000";
const FOLDER =
  "no host in an image reference, where a first part without a dot or a port is a folder of Docker Hub: write e.g. cache.example.com, cache:5000 or localhost";
const SIZE = "not a size: write a positive quantity, e.g. 50Gi";
const DRIFT = "not an interval: write a duration of at least 10s, e.g. 30s, 10m or 1h";
const PROVIDER = "set exactly one provider: inCluster, azure, ecr, artifactRegistry, harbor, zot or distribution";
const CLOUD_TLS =
  "plainHTTP and caBundle need a registry that can be told so: inCluster or harbor (plainHTTP also zot and distribution); a cloud registry trusts public certificates only";
const CLOUD_SECRET =
  "credentials.secretRef is for inCluster, harbor, zot and distribution: a cloud registry reads credentials from its own vault (azure: keyVault or credentialSetName; ecr: secretsManagerArn or roleArn; artifactRegistry: secretManagerVersion)";
const ONE_CREDENTIAL =
  "set exactly one form of credentials: secretRef, keyVault, credentialSetName, secretsManagerArn, roleArn or secretManagerVersion";

export const BAD_REGISTRIES: readonly InvalidObject[] = [
  { name: "a registry of no kind", object: registry({}), says: PROVIDER },
  { name: "a registry of two kinds", object: registry({ ...harbor(), ...ecr() }), says: PROVIDER },
  {
    name: "a registry of a long name",
    object: { ...inCluster(), metadata: { name: "n".repeat(64) } },
    says: "the name is used as a label value: choose one of at most 63 characters",
  },
  { name: "a pull host with a scheme", object: inCluster({ pullHost: "http://localhost" }), says: HOST },
  { name: "a pull host with a path", object: inCluster({ pullHost: "localhost:5000/x" }), says: HOST },
  {
    name: "clients with the audience of our own tokens",
    object: inCluster({ clients: { serviceAccounts: { audience: "entrepot-gateway" } } }),
    says: "entrepot-gateway is the audience of the operator's and the webhooks' own tokens: choose another, e.g. entrepot-cache",
  },
  { name: "a pull host that is a folder of Docker Hub", object: inCluster({ pullHost: "cache" }), says: FOLDER },
  { name: "an upstream that is a folder of Docker Hub", object: upstream({ host: "quay" }), says: FOLDER },
  { name: "an upstream in upper case", object: upstream({ host: "Docker.io" }), says: HOST },
  {
    name: "no storage",
    object: inCluster({ storage: {} }),
    says: "set exactly one kind of storage: persistentVolumeClaim, emptyDir, s3, azure or gcs",
  },
  {
    name: "two kinds of storage",
    object: inCluster({ storage: { emptyDir: {}, persistentVolumeClaim: { size: "1Gi" } } }),
    says: "set exactly one kind of storage: persistentVolumeClaim, emptyDir, s3, azure or gcs",
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
