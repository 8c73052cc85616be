import { accessObjects } from "../gatewayaccess/manifests.ts";
import { ACCESS_DIRECTORY, accessSecretName } from "../gatewayaccess/names.ts";
import type { GatewayAccess } from "../gatewayaccess/resolve.ts";
import type { GatewaySpec } from "../gatewayaccess/types.ts";
import { MONITORING_LABEL, managedLabels, ownedBy, selectorLabels } from "./labels.ts";
import { gatewayName } from "./names.ts";
import { PROBE_SECONDS } from "./probes.ts";
import { containerResources } from "./resources.ts";
import { hardened, NON_ROOT } from "./security.ts";
import type { InClusterSpec, Installation, Manifest, RegistryIdentity } from "./types.ts";

export const GATEWAY_PORT = 5000;
export const STATUS_PORT = 9090;
/** Gateway replicas where the CacheRegistry names none: one may go without a pull failing. */
export const DEFAULT_GATEWAY_REPLICAS = 2;

/** What the gateway's container asks for where spec says nothing. */
export const GATEWAY_RESOURCES = { requests: { cpu: "50m", memory: "96Mi" }, limits: { memory: "384Mi" } } as const;

/** What one gateway's objects are made from. */
interface Wanted {
  readonly registry: RegistryIdentity;
  readonly spec: InClusterSpec & Partial<GatewaySpec>;
  readonly installation: Installation;
  readonly access: GatewayAccess | undefined;
}

function container({ registry, spec, installation, access }: Wanted): object {
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
      ...(access ? [{ name: "ACCESS_DIR", value: ACCESS_DIRECTORY }] : []),
      ...(access?.tls ? [{ name: "REGISTRY_TLS", value: "true" }] : []),
    ],
    ports: [
      { name: "registry", containerPort: GATEWAY_PORT, protocol: "TCP" },
      { name: "status", containerPort: STATUS_PORT, protocol: "TCP" },
    ],
    resources: containerResources(spec.resources, GATEWAY_RESOURCES),
    securityContext: hardened(),
    // Alive is enough to have started: a gateway that waits for a Secret or the API server is not ready, and no better for being killed.
    startupProbe: { ...probe("/livez"), periodSeconds: 1, timeoutSeconds: PROBE_SECONDS, failureThreshold: 60 },
    readinessProbe: { ...probe("/readyz"), periodSeconds: 2, timeoutSeconds: PROBE_SECONDS },
    livenessProbe: { ...probe("/livez"), periodSeconds: 10, timeoutSeconds: 5 },
    ...(access && { volumeMounts: [{ name: "access", mountPath: ACCESS_DIRECTORY, readOnly: true }] }),
  };
}

function podSpec(wanted: Wanted, selector: Record<string, string>): object {
  const { registry, installation, access } = wanted;
  return {
    serviceAccountName: installation.gatewayServiceAccount,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: 60, // more than the gateway's drain and grace together (5 s and 45 s)
    securityContext: access === undefined ? NON_ROOT : { ...NON_ROOT, fsGroup: NON_ROOT.runAsGroup },
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: "kubernetes.io/hostname",
        whenUnsatisfiable: "ScheduleAnyway",
        labelSelector: { matchLabels: selector },
      },
    ],
    containers: [container(wanted)],
    ...(access && {
      // Never by subPath: such a mount does not follow the Secret.
      volumes: [{ name: "access", secret: { secretName: accessSecretName(registry.name), defaultMode: 0o440 } }],
    }),
  };
}

/**
 * The gateway of one CacheRegistry: Deployment, Service (ClusterIP, or NodePort where nodes pull through it) and disruption budget, and
 * what its access is read from (`accessDocument`). Without `access` it lets nobody in by a password and serves without TLS.
 */
export function gatewayObjects(
  registry: RegistryIdentity,
  spec: InClusterSpec & Partial<GatewaySpec>,
  installation: Installation,
  access?: GatewayAccess,
): readonly Manifest[] {
  const name = gatewayName(registry.name);
  const selector = selectorLabels(registry.name, "gateway", name);
  const labels = managedLabels(registry.name, "gateway", name);
  const metadata = { name, namespace: installation.namespace, labels, ownerReferences: ownedBy(registry) };
  const nodePort = spec.service?.nodePort;
  const port = { name: "registry", port: GATEWAY_PORT, targetPort: "registry", protocol: "TCP" };
  const wanted = { registry, spec, installation, access };
  return [
    ...(access === undefined ? [] : accessObjects(registry.name, metadata, access)),
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
        template: { metadata: { labels }, spec: podSpec(wanted, selector) },
      },
    },
    {
      apiVersion: "policy/v1",
      kind: "PodDisruptionBudget",
      metadata,
      spec: { maxUnavailable: 1, selector: { matchLabels: selector } },
    },
    {
      // A proxy with credentials shows private images to whoever reaches it, so only the gateway does. Where a proxy reports metrics distribution
      // serves pprof too, which anybody could keep it busy with. It protects where the network plugin enforces policies.
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
          {
            from: [{ namespaceSelector: { matchLabels: { [MONITORING_LABEL]: "true" } } }],
            ports: [{ port: "metrics", protocol: "TCP" }],
          },
        ],
      },
    },
  ];
}
