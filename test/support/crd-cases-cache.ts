/** What the API server must take and must refuse of a cache's storage, Pods, clients and TLS. */
import {
  artifactRegistry,
  azure,
  claim,
  ecr,
  harbor,
  type InvalidObject,
  type InvalidUpdate,
  inCluster,
  registry,
  SECRET,
  type ValidObject,
} from "./crd-objects.ts";

const S3 = { bucket: "image-cache", region: "eu-central-1" };
const BLOBS = { accountName: "caches", container: "images" };
const GCS = { bucket: "acme_image.cache" };
const s3 = (more: object = {}) => inCluster({ storage: { s3: { ...S3, ...more } } });
const blobs = (more: object = {}) => inCluster({ storage: { azure: { ...BLOBS, ...more } } });
const gcs = (more: object = {}) => inCluster({ storage: { gcs: { ...GCS, ...more } } });
const pods = (replicas: number, storage: object) => inCluster({ storage, proxy: { replicas } });
const shared = (accessModes: readonly string[]) => ({ persistentVolumeClaim: { size: "10Gi", accessModes } });
const sized = (cpu: string) => inCluster({ resources: { requests: { cpu } } });

export const VALID_CACHE_SPECS: readonly ValidObject[] = [
  { name: "a cache in a bucket", object: s3() },
  {
    name: "a cache in a bucket of a compatible service",
    object: s3({
      endpoint: "https://minio.example.com:9000/",
      forcePathStyle: true,
      rootDirectory: "caches/prod_1/v1.2",
      ...SECRET,
    }),
  },
  { name: "a cache in a bucket of a service without TLS", object: s3({ endpoint: "http://minio:9000" }) },
  { name: "a cache in blobs", object: blobs({ realm: "core.chinacloudapi.cn", rootDirectory: "caches", ...SECRET }) },
  { name: "a cache in Google's bucket", object: gcs({ rootDirectory: "caches..old", ...SECRET }) },
  { name: "several Pods on a bucket", object: pods(20, { s3: S3 }) },
  { name: "several Pods on blobs", object: pods(2, { azure: BLOBS }) },
  { name: "several Pods on Google's bucket", object: pods(2, { gcs: GCS }) },
  { name: "several Pods on a shared claim", object: pods(2, shared(["ReadWriteMany"])) },
  { name: "one Pod on a node's disk", object: pods(1, { emptyDir: {} }) },
  {
    name: "a cache with sizes, clients, TLS and limits",
    object: inCluster({
      resources: { requests: { cpu: "100m", memory: "256Mi" }, limits: { cpu: "1.5", memory: "1Gi" } },
      proxy: { resources: { limits: { memory: "2G" } }, serviceAccountName: "cache-proxy" },
      anonymous: false,
      clients: {
        secretRefs: [{ name: "ci" }, { name: "nodes" }],
        serviceAccounts: { audience: "cache", namespaces: ["team-a", "team-b"] },
      },
      tls: { secretRef: { name: "cache-tls" } },
      limits: { requestsPerSecond: 50, concurrentRequests: 100 },
    }),
  },
  { name: "a cache for everybody", object: inCluster({ anonymous: true }) },
  { name: "a cache with its own certificate", object: inCluster({ tls: { selfSigned: {} } }) },
  { name: "a registry that reports drift", object: registry({ ...harbor(), driftPolicy: "Report" }) },
  {
    name: "a registry that is pulled from with credentials",
    object: registry({ ...azure(), pullSecretRef: { name: "p" } }),
  },
  {
    name: "a registry whose signatures it has itself, and that nodes have a Secret for",
    object: registry({ ...harbor(), signatures: "cache", imagePullSecretName: "harbor.pull-1" }),
  },
];

const SHARED =
  "proxy.replicas above 1 needs storage that Pods can share: s3, azure, gcs, or a persistentVolumeClaim with accessModes [ReadWriteMany]";
const ENDPOINT = "not an endpoint: write scheme and host without a path, e.g. https://minio.example.com:9000";
const FOLDER = "not a folder: write names separated by /, without one at the beginning or the end, e.g. caches/prod";
const AMOUNT = "not an amount: write a positive quantity, e.g. 500m or 256Mi";
const TLS = "set exactly one source of the certificate: secretRef or selfSigned";
const EVERYBODY = "anonymous: true lets everybody pull: remove it, or remove clients";

const folders = ["../images", "caches/../images", "caches/..", "./images", "/images", "images/", "caches//images", ""];

export const INVALID_CACHE_SPECS: readonly InvalidObject[] = [
  {
    name: "two kinds of shared storage",
    object: inCluster({ storage: { s3: S3, gcs: GCS } }),
    says: "set exactly one kind of storage: persistentVolumeClaim, emptyDir, s3, azure or gcs",
  },
  ...folders.map((rootDirectory) => ({
    name: `the folder "${rootDirectory}" in S3`,
    object: s3({ rootDirectory }),
    says: FOLDER,
  })),
  { name: "a folder above in blobs", object: blobs({ rootDirectory: "a/../.." }), says: FOLDER },
  { name: "a folder above in Google's bucket", object: gcs({ rootDirectory: ".." }), says: FOLDER },
  { name: "an S3 endpoint without a scheme", object: s3({ endpoint: "minio.example.com:9000" }), says: ENDPOINT },
  { name: "an S3 endpoint with a path", object: s3({ endpoint: "https://minio.example.com/images" }), says: ENDPOINT },
  {
    name: "an S3 endpoint with credentials",
    object: s3({ endpoint: "https://a:b@minio.example.com" }),
    says: ENDPOINT,
  },
  {
    name: "an S3 bucket in upper case",
    object: s3({ bucket: "Images" }),
    says: "not a bucket: write its name alone, 3 to 63 small letters, digits, . and -",
  },
  {
    name: "an S3 bucket with a path",
    object: s3({ bucket: "images/prod" }),
    says: "not a bucket: write its name alone, 3 to 63 small letters, digits, . and -",
  },
  {
    name: "an S3 region of words",
    object: s3({ region: "EU Frankfurt" }),
    says: "spec.inCluster.storage.s3.region in body should match",
  },
  {
    name: "S3 without a region",
    object: inCluster({ storage: { s3: { bucket: "images" } } }),
    says: "spec.inCluster.storage.s3.region: Required value",
    alone: false,
  },
  {
    name: "S3 credentials of no name",
    object: s3({ secretRef: {} }),
    says: "spec.inCluster.storage.s3.secretRef.name: Required value",
    alone: false,
  },
  {
    name: "an account of blobs with a dash",
    object: blobs({ accountName: "my-caches" }),
    says: "not a storage account: write its name alone, 3 to 24 small letters and digits",
  },
  {
    name: "a container of blobs in upper case",
    object: blobs({ container: "Images" }),
    says: "not a container: write its name alone, 3 to 63 small letters, digits and -",
  },
  {
    name: "a realm of blobs that is a URL",
    object: blobs({ realm: "https://core.windows.net" }),
    says: "spec.inCluster.storage.azure.realm in body should match",
  },
  {
    name: "a bucket of Google by its URL",
    object: gcs({ bucket: "gs://images" }),
    says: "not a bucket: write its name alone, 3 to 222 small letters, digits, . _ and -",
  },
  { name: "several Pods on a node's disk", object: pods(2, { emptyDir: {} }), says: SHARED },
  { name: "several Pods on a claim", object: pods(2, { persistentVolumeClaim: { size: "10Gi" } }), says: SHARED },
  { name: "several Pods on a claim of one node", object: pods(2, shared(["ReadWriteOnce"])), says: SHARED },
  {
    name: "no Pod",
    object: pods(0, { s3: S3 }),
    says: "spec.inCluster.proxy.replicas in body should be greater than or equal to 1",
  },
  {
    name: "too many Pods",
    object: pods(21, { s3: S3 }),
    says: "spec.inCluster.proxy.replicas in body should be less than or equal to 20",
  },
  { name: "no CPU", object: sized("0"), says: AMOUNT },
  { name: "less than no CPU", object: sized("-1"), says: AMOUNT },
  { name: "CPU in words", object: sized("two cores"), says: AMOUNT },
  { name: "memory in other words", object: inCluster({ resources: { limits: { memory: "256MB" } } }), says: AMOUNT },
  {
    name: "no memory for a proxy",
    object: inCluster({ proxy: { resources: { limits: { memory: "0" } } } }),
    says: AMOUNT,
  },
  {
    name: "everybody, and some",
    object: inCluster({ anonymous: true, clients: { serviceAccounts: {} } }),
    says: EVERYBODY,
  },
  {
    name: "a client twice",
    object: inCluster({ clients: { secretRefs: [{ name: "a" }, { name: "a" }] } }),
    says: "Duplicate value",
    alone: false,
  },
  {
    name: "clients of an empty list",
    object: inCluster({ clients: { secretRefs: [] } }),
    says: "spec.inCluster.clients.secretRefs in body should have at least 1 items",
  },
  { name: "TLS of no certificate", object: inCluster({ tls: {} }), says: TLS },
  { name: "TLS of two certificates", object: inCluster({ tls: { selfSigned: {}, ...SECRET } }), says: TLS },
  {
    name: "a limit of nothing",
    object: inCluster({ limits: { requestsPerSecond: 0 } }),
    says: "requestsPerSecond in body should be greater than or equal to 1",
  },
  {
    name: "a limit of no request at once",
    object: inCluster({ limits: { concurrentRequests: 0 } }),
    says: "concurrentRequests in body should be greater than or equal to 1",
  },
  {
    name: "another drift policy",
    object: inCluster({}, { driftPolicy: "Ignore" }),
    says: 'supported values: "Correct", "Report"',
    alone: false,
  },
  {
    name: "signatures from elsewhere",
    object: inCluster({}, { signatures: "Cache" }),
    says: 'supported values: "cache", "upstream", "both"',
    alone: false,
  },
  {
    name: "a Pods' pull secret of another namespace",
    object: inCluster({}, { imagePullSecretName: "team/pull" }),
    says: "not a Secret's name: write lower-case letters, digits, - and ., without a namespace",
  },
  {
    name: "a pull secret of no name",
    object: inCluster({}, { pullSecretRef: {} }),
    says: "spec.pullSecretRef.name: Required value",
    alone: false,
  },
  {
    name: "a pull secret of an empty name",
    object: inCluster({}, { pullSecretRef: { name: "" } }),
    says: "spec.pullSecretRef.name in body should be at least 1 chars",
  },
  {
    name: "a claim of another access mode",
    object: claim({ accessModes: ["ReadOnlyMany"] }),
    says: 'supported values: "ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod"',
    alone: false,
  },
  {
    name: "a Google project in upper case",
    object: registry(artifactRegistry({ project: "Acme" })),
    says: "spec.artifactRegistry.project in body should match",
  },
];

const BEHIND =
  "the registry behind this object cannot be changed: create another CacheRegistry and move the rules to it";
const moved = (name: string, from: object, to: object): InvalidUpdate => ({
  name,
  from: registry(from),
  to: registry(to),
  says: BEHIND,
});

export const INVALID_CACHE_UPDATES: readonly InvalidUpdate[] = [
  moved("Azure's subscription", azure(), azure({ subscriptionId: "00000000-0000-0000-0000-000000000001" })),
  moved("Azure's resource group", azure(), azure({ resourceGroup: "other" })),
  moved("Azure's registry", azure(), azure({ registryName: "another" })),
  moved("Amazon's region", ecr(), ecr({ region: "eu-west-1" })),
  moved("Amazon's account", ecr(), ecr({ accountId: "444455556666" })),
  moved("Google's project", artifactRegistry(), artifactRegistry({ project: "other-project" })),
  moved("Google's location", artifactRegistry(), artifactRegistry({ location: "eu" })),
];
