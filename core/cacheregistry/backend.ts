import {
  CONFIG_DIRECTORY,
  contentHash,
  DATA_DIRECTORY,
  DISTRIBUTION_METRICS_PORT,
  DISTRIBUTION_PORT,
  distributionConfig,
} from "./distribution.ts";
import {
  AZURE_IDENTITY_LABEL,
  CONFIG_ANNOTATION,
  managedLabels,
  ownedBy,
  selectorLabels,
  UPSTREAM_ANNOTATION,
} from "./labels.ts";
import { backendName, claimName, visibility } from "./names.ts";
import { PROBE_SECONDS } from "./probes.ts";
import { containerResources } from "./resources.ts";
import { hardened, NON_ROOT } from "./security.ts";
import {
  accessModes,
  isExclusive,
  isObjectStorage,
  objectStorageDriver,
  STORAGE_KEY_DIRECTORY,
  STORAGE_KEY_FILE,
} from "./storage.ts";
import type {
  InClusterSpec,
  InClusterStorage,
  Installation,
  Manifest,
  PodResources,
  RegistryIdentity,
  StorageCredentials,
  Upstream,
} from "./types.ts";

const CA_FILE = "ca.crt";

/** Files of the proxy's Secret, and the folder where each is found; one folder for each, since they are mounted separately. */
const FOLDERS: Readonly<Record<string, { readonly volume: string; readonly directory: string }>> = {
  "config.yml": { volume: "config", directory: CONFIG_DIRECTORY },
  [CA_FILE]: { volume: "ca", directory: "/etc/distribution-ca" },
  [STORAGE_KEY_FILE]: { volume: "storage-key", directory: STORAGE_KEY_DIRECTORY },
};

/** What a proxy's objects are called: all by one name, but for the claim. */
interface Names {
  readonly name: string;
  readonly claimName: string;
}

type Files = Readonly<Record<string, string>>;

function mountedFiles(files: Files) {
  return Object.entries(FOLDERS).flatMap(([file, folder]) => (file in files ? [{ file, ...folder }] : []));
}

function claim(base: Manifest, name: string, storage: InClusterStorage): readonly Manifest[] {
  const wanted = storage.persistentVolumeClaim;
  if (wanted === undefined) return [];
  const spec = {
    accessModes: accessModes(storage),
    ...(wanted.storageClassName !== undefined && { storageClassName: wanted.storageClassName }),
    resources: { requests: { storage: wanted.size } },
  };
  return [{ ...base, kind: "PersistentVolumeClaim", metadata: { ...base.metadata, name }, spec }];
}

function volumes({ name, claimName }: Names, storage: InClusterStorage, files: Files): readonly object[] {
  const data = storage.persistentVolumeClaim
    ? { persistentVolumeClaim: { claimName } }
    : { emptyDir: { ...(storage.emptyDir?.sizeLimit !== undefined && { sizeLimit: storage.emptyDir.sizeLimit }) } };
  const mounted: object[] = mountedFiles(files).map(({ file, volume }) => ({
    name: volume,
    secret: { secretName: name, items: [{ key: file, path: file }], defaultMode: 0o440 },
  }));
  return isObjectStorage(storage) ? mounted : mounted.toSpliced(1, 0, { name: "data", ...data });
}

/** Uploads to a storage service go through memory, 10 MiB and more for each layer under way. */
function defaultResources(storage: InClusterStorage): PodResources {
  return { requests: { cpu: "50m", memory: "64Mi" }, limits: { memory: isObjectStorage(storage) ? "1Gi" : "512Mi" } };
}

function container(image: string, { storage, proxy }: InClusterSpec, files: Files): object {
  const probe = { httpGet: { path: "/v2/", port: "registry" } };
  const mounts: object[] = mountedFiles(files).map(({ volume, directory }) => ({
    name: volume,
    mountPath: directory,
    readOnly: true,
  }));
  return {
    name: "distribution",
    image,
    args: ["serve", `${CONFIG_DIRECTORY}/config.yml`],
    env: [
      { name: "OTEL_TRACES_EXPORTER", value: "none" }, // the default exporter calls localhost:4318 for ever
      // Go reads this directory besides the image's own bundle of roots.
      ...(CA_FILE in files ? [{ name: "SSL_CERT_DIR", value: FOLDERS[CA_FILE]?.directory }] : []),
    ],
    ports: [
      { name: "registry", containerPort: DISTRIBUTION_PORT, protocol: "TCP" },
      { name: "metrics", containerPort: DISTRIBUTION_METRICS_PORT, protocol: "TCP" },
    ],
    resources: containerResources(proxy?.resources, defaultResources(storage)),
    securityContext: hardened(),
    startupProbe: { ...probe, periodSeconds: 1, timeoutSeconds: PROBE_SECONDS, failureThreshold: 60 },
    readinessProbe: { ...probe, periodSeconds: 2, timeoutSeconds: PROBE_SECONDS },
    livenessProbe: { ...probe, periodSeconds: 10, timeoutSeconds: 5 },
    volumeMounts: isObjectStorage(storage)
      ? mounts
      : mounts.toSpliced(1, 0, { name: "data", mountPath: DATA_DIRECTORY }),
  };
}

/** The files of the proxy's Secret: its configuration, and what that refers to. All that is secret is here. */
function filesOf(name: string, spec: InClusterSpec, upstream: Upstream, credentials?: StorageCredentials): Files {
  const { storage, ttl, proxy } = spec;
  // Never the folder itself: what an earlier version left there may have been read with credentials, or without.
  const driver = objectStorageDriver(storage, `${name}/${visibility(upstream)}`, credentials);
  const options = {
    ...(ttl !== undefined && { ttl }),
    ...(driver !== undefined && { driver }),
    shared: (proxy?.replicas ?? 1) > 1,
  };
  return {
    "config.yml": distributionConfig(upstream, options),
    ...(upstream.caBundle !== undefined && { [CA_FILE]: upstream.caBundle }),
    ...(credentials?.kind === "gcs" && { [STORAGE_KEY_FILE]: credentials.keyJson }),
  };
}

/** The Pods of a proxy. No token of the API server's is mounted: clouds that give Pods an identity project one of their own. */
function podSpec(
  names: Names,
  spec: InClusterSpec,
  installation: Installation,
  files: Files,
  selector: object,
): object {
  const account = spec.proxy?.serviceAccountName;
  const spread = {
    maxSkew: 1,
    topologyKey: "kubernetes.io/hostname",
    whenUnsatisfiable: "ScheduleAnyway",
    labelSelector: { matchLabels: selector },
  };
  return {
    ...(account !== undefined && { serviceAccountName: account }),
    automountServiceAccountToken: false,
    enableServiceLinks: false, // a Service called "registry" would put REGISTRY_… variables in, which distribution takes for configuration
    terminationGracePeriodSeconds: 30,
    securityContext: { ...NON_ROOT, fsGroup: NON_ROOT.runAsGroup, fsGroupChangePolicy: "OnRootMismatch" },
    ...((spec.proxy?.replicas ?? 1) > 1 && { topologySpreadConstraints: [spread] }),
    containers: [container(spec.image ?? installation.distributionImage, spec, files)],
    volumes: volumes(names, spec.storage, files),
  };
}

/** Of several Pods one may go at a time; one alone must not hold up a drained node. */
function disruptionBudget(base: Manifest, replicas: number, selector: object): readonly Manifest[] {
  if (replicas <= 1) return [];
  const spec = { maxUnavailable: 1, selector: { matchLabels: selector } };
  return [{ ...base, apiVersion: "policy/v1", kind: "PodDisruptionBudget", spec }];
}

/**
 * The objects of the proxy of one upstream: a claim where storage says so, Secret with its configuration, Service, Deployment, and a
 * disruption budget where there are several Pods. The claim is first: where a quota refuses it, the proxy that runs keeps its
 * configuration. A changed configuration changes the Pod template, and so rolls the Pods. A claim that one node at a time can hold needs
 * `Recreate`: with a rolling update the new Pod would wait for a volume that the old one keeps.
 */
export function backendObjects(
  registry: RegistryIdentity,
  spec: InClusterSpec,
  upstream: Upstream,
  installation: Installation,
  storageCredentials?: StorageCredentials,
): readonly Manifest[] {
  const name = backendName(registry.name, upstream.host);
  const names = { name, claimName: claimName(registry.name, upstream.host, visibility(upstream)) };
  const files = filesOf(name, spec, upstream, storageCredentials);
  const replicas = spec.proxy?.replicas ?? 1;
  const selector = selectorLabels(registry.name, "cache", name);
  const labels = managedLabels(registry.name, "cache", name);
  const base: Manifest = {
    apiVersion: "v1",
    kind: "",
    metadata: {
      name,
      namespace: installation.namespace,
      labels,
      annotations: { [UPSTREAM_ANNOTATION]: upstream.host },
      ownerReferences: ownedBy(registry),
    },
  };
  const asksAzure = spec.storage.azure !== undefined && storageCredentials === undefined;
  const template = {
    metadata: {
      labels: { ...labels, ...(asksAzure && { [AZURE_IDENTITY_LABEL]: "true" }) },
      annotations: { [CONFIG_ANNOTATION]: contentHash(files) },
    },
    spec: podSpec(names, spec, installation, files, selector),
  };
  const strategy = isExclusive(spec.storage)
    ? { type: "Recreate" }
    : { type: "RollingUpdate", rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } };
  return [
    ...claim(base, names.claimName, spec.storage),
    {
      ...base,
      apiVersion: "v1",
      kind: "Secret",
      type: "Opaque",
      data: Object.fromEntries(
        Object.entries(files).map(([key, text]) => [key, Buffer.from(text, "utf8").toString("base64")]),
      ),
    },
    {
      ...base,
      apiVersion: "v1",
      kind: "Service",
      spec: {
        type: "ClusterIP",
        selector,
        ports: [{ name: "registry", port: DISTRIBUTION_PORT, targetPort: "registry", protocol: "TCP" }],
      },
    },
    {
      ...base,
      apiVersion: "apps/v1",
      kind: "Deployment",
      spec: { replicas, revisionHistoryLimit: 2, selector: { matchLabels: selector }, strategy, template },
    },
    ...disruptionBudget(base, replicas, selector),
  ];
}
