import {
  CONFIG_DIRECTORY,
  contentHash,
  DATA_DIRECTORY,
  DISTRIBUTION_METRICS_PORT,
  DISTRIBUTION_PORT,
  distributionConfig,
} from "./distribution.ts";
import { CONFIG_ANNOTATION, managedLabels, ownedBy, selectorLabels, UPSTREAM_ANNOTATION } from "./labels.ts";
import { backendName } from "./names.ts";
import { hardened, NON_ROOT } from "./security.ts";
import type { InClusterSpec, InClusterStorage, Installation, Manifest, RegistryIdentity, Upstream } from "./types.ts";

const CA_DIRECTORY = "/etc/distribution-ca";

function accessModes(storage: InClusterStorage): readonly string[] {
  return storage.persistentVolumeClaim?.accessModes ?? ["ReadWriteOnce"];
}

function isExclusive(storage: InClusterStorage): boolean {
  return storage.persistentVolumeClaim !== undefined && !accessModes(storage).includes("ReadWriteMany");
}

function claim(base: Manifest, storage: InClusterStorage): readonly Manifest[] {
  const wanted = storage.persistentVolumeClaim;
  if (wanted === undefined) return [];
  const spec = {
    accessModes: accessModes(storage),
    ...(wanted.storageClassName !== undefined && { storageClassName: wanted.storageClassName }),
    resources: { requests: { storage: wanted.size } },
  };
  return [{ ...base, apiVersion: "v1", kind: "PersistentVolumeClaim", spec }];
}

function volumes(name: string, storage: InClusterStorage, withCa: boolean): readonly object[] {
  const data = storage.persistentVolumeClaim
    ? { persistentVolumeClaim: { claimName: name } }
    : { emptyDir: { ...(storage.emptyDir?.sizeLimit !== undefined && { sizeLimit: storage.emptyDir.sizeLimit }) } };
  const part = (volume: string, key: string) => ({
    name: volume,
    secret: { secretName: name, items: [{ key, path: key }], defaultMode: 0o440 },
  });
  return [part("config", "config.yml"), { name: "data", ...data }, ...(withCa ? [part("ca", "ca.crt")] : [])];
}

function container(image: string, withCa: boolean): object {
  const probe = { httpGet: { path: "/v2/", port: "registry" } };
  return {
    name: "distribution",
    image,
    args: ["serve", `${CONFIG_DIRECTORY}/config.yml`],
    env: [
      { name: "OTEL_TRACES_EXPORTER", value: "none" }, // the default exporter calls localhost:4318 for ever
      // Go reads this directory besides the image's own bundle of roots.
      ...(withCa ? [{ name: "SSL_CERT_DIR", value: CA_DIRECTORY }] : []),
    ],
    ports: [
      { name: "registry", containerPort: DISTRIBUTION_PORT, protocol: "TCP" },
      { name: "metrics", containerPort: DISTRIBUTION_METRICS_PORT, protocol: "TCP" },
    ],
    resources: { requests: { cpu: "50m", memory: "64Mi" }, limits: { memory: "512Mi" } },
    securityContext: hardened(),
    startupProbe: { ...probe, periodSeconds: 1, failureThreshold: 60 },
    readinessProbe: { ...probe, periodSeconds: 2 },
    livenessProbe: { ...probe, periodSeconds: 10, timeoutSeconds: 5 },
    volumeMounts: [
      { name: "config", mountPath: CONFIG_DIRECTORY, readOnly: true },
      { name: "data", mountPath: DATA_DIRECTORY },
      ...(withCa ? [{ name: "ca", mountPath: CA_DIRECTORY, readOnly: true }] : []),
    ],
  };
}

/**
 * The objects of the proxy of one upstream: Secret with its configuration, Service, Deployment, and a claim where storage says so.
 * A changed configuration changes the Pod template, and so rolls the Pod. A claim that one node at a time can hold needs `Recreate`:
 * with a rolling update the new Pod would wait for a volume that the old one keeps.
 */
export function backendObjects(
  registry: RegistryIdentity,
  spec: InClusterSpec,
  upstream: Upstream,
  installation: Installation,
): readonly Manifest[] {
  const name = backendName(registry.name, upstream.host);
  const files = {
    "config.yml": distributionConfig(upstream, spec.ttl),
    ...(upstream.caBundle !== undefined && { "ca.crt": upstream.caBundle }),
  };
  const withCa = upstream.caBundle !== undefined;
  const selector = selectorLabels(registry.name, "cache", name);
  const base: Manifest = {
    apiVersion: "v1",
    kind: "",
    metadata: {
      name,
      namespace: installation.namespace,
      labels: managedLabels(registry.name, "cache", name),
      annotations: { [UPSTREAM_ANNOTATION]: upstream.host },
      ownerReferences: ownedBy(registry),
    },
  };
  const template = {
    metadata: {
      labels: managedLabels(registry.name, "cache", name),
      annotations: { [CONFIG_ANNOTATION]: contentHash(files) },
    },
    spec: {
      automountServiceAccountToken: false,
      enableServiceLinks: false, // a Service called "registry" would put REGISTRY_… variables in, which distribution takes for configuration
      terminationGracePeriodSeconds: 30,
      securityContext: { ...NON_ROOT, fsGroup: NON_ROOT.runAsGroup, fsGroupChangePolicy: "OnRootMismatch" },
      containers: [container(spec.image ?? installation.distributionImage, withCa)],
      volumes: volumes(name, spec.storage, withCa),
    },
  };
  const strategy = isExclusive(spec.storage)
    ? { type: "Recreate" }
    : { type: "RollingUpdate", rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } };
  return [
    {
      ...base,
      apiVersion: "v1",
      kind: "Secret",
      type: "Opaque",
      data: Object.fromEntries(
        Object.entries(files).map(([key, text]) => [key, Buffer.from(text, "utf8").toString("base64")]),
      ),
    },
    ...claim(base, spec.storage),
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
      spec: { replicas: 1, revisionHistoryLimit: 2, selector: { matchLabels: selector }, strategy, template },
    },
  ];
}
