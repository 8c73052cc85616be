import { managedLabels, ownedBy, selectorLabels } from "./labels.ts";
import { gatewayName } from "./names.ts";
import { hardened, NON_ROOT } from "./security.ts";
import type { InClusterSpec, Installation, Manifest, RegistryIdentity } from "./types.ts";

export const GATEWAY_PORT = 5000;
export const STATUS_PORT = 9090;
/** Gateway replicas where the CacheRegistry names none: one may go without a pull failing. */
export const DEFAULT_GATEWAY_REPLICAS = 2;

function container(registry: RegistryIdentity, installation: Installation): object {
  const probe = (path: string) => ({ httpGet: { path, port: "status" } });
  return {
    name: "gateway",
    image: installation.gatewayImage,
    ...(installation.gatewayPullPolicy !== undefined && { imagePullPolicy: installation.gatewayPullPolicy }),
    args: ["gateway"],
    env: [
      { name: "REGISTRY_NAME", value: registry.name },
      { name: "SYSTEM_NAMESPACE", value: installation.namespace },
      { name: "LOG_LEVEL", value: installation.logLevel },
      { name: "POD_NAME", valueFrom: { fieldRef: { apiVersion: "v1", fieldPath: "metadata.name" } } },
    ],
    ports: [
      { name: "registry", containerPort: GATEWAY_PORT, protocol: "TCP" },
      { name: "status", containerPort: STATUS_PORT, protocol: "TCP" },
    ],
    resources: { requests: { cpu: "50m", memory: "96Mi" }, limits: { memory: "384Mi" } },
    securityContext: hardened(),
    startupProbe: { ...probe("/readyz"), periodSeconds: 1, failureThreshold: 60 },
    readinessProbe: { ...probe("/readyz"), periodSeconds: 2 },
    livenessProbe: { ...probe("/livez"), periodSeconds: 10, timeoutSeconds: 5 },
  };
}

function podSpec(registry: RegistryIdentity, installation: Installation, selector: Record<string, string>): object {
  return {
    serviceAccountName: installation.gatewayServiceAccount,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: 60, // more than the gateway's drain and grace together (5 s and 45 s)
    securityContext: NON_ROOT,
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: "kubernetes.io/hostname",
        whenUnsatisfiable: "ScheduleAnyway",
        labelSelector: { matchLabels: selector },
      },
    ],
    containers: [container(registry, installation)],
  };
}

/** The gateway of one CacheRegistry: Deployment, Service (ClusterIP, or NodePort where nodes pull through it) and disruption budget. */
export function gatewayObjects(
  registry: RegistryIdentity,
  spec: InClusterSpec,
  installation: Installation,
): readonly Manifest[] {
  const name = gatewayName(registry.name);
  const selector = selectorLabels(registry.name, "gateway", name);
  const labels = managedLabels(registry.name, "gateway", name);
  const metadata = { name, namespace: installation.namespace, labels, ownerReferences: ownedBy(registry) };
  const nodePort = spec.service?.nodePort;
  const port = { name: "registry", port: GATEWAY_PORT, targetPort: "registry", protocol: "TCP" };
  return [
    {
      apiVersion: "v1",
      kind: "Service",
      metadata,
      spec: {
        type: spec.service?.type ?? "ClusterIP",
        selector,
        ports: [{ ...port, ...(nodePort !== undefined && { nodePort }) }],
      },
    },
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata,
      spec: {
        replicas: spec.replicas ?? DEFAULT_GATEWAY_REPLICAS,
        revisionHistoryLimit: 2,
        selector: { matchLabels: selector },
        strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
        template: { metadata: { labels }, spec: podSpec(registry, installation, selector) },
      },
    },
    {
      apiVersion: "policy/v1",
      kind: "PodDisruptionBudget",
      metadata,
      spec: { maxUnavailable: 1, selector: { matchLabels: selector } },
    },
    {
      // A proxy with credentials shows private images to whoever reaches it, so only the gateway does. It protects where the network plugin enforces policies.
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata,
      spec: {
        podSelector: {
          matchLabels: {
            "app.kubernetes.io/name": "entrepot",
            "app.kubernetes.io/component": "cache",
            "entrepot.dev/registry": labels["entrepot.dev/registry"],
          },
        },
        policyTypes: ["Ingress"],
        ingress: [
          { from: [{ podSelector: { matchLabels: selector } }], ports: [{ port: "registry", protocol: "TCP" }] },
          { ports: [{ port: "metrics", protocol: "TCP" }] },
        ],
      },
    },
  ];
}
