import { Resources } from "../adapters/kube/resources.ts";
import type { KubeObject, Resource } from "../adapters/kube/types.ts";

/** A collection as the reconcilers read it: an informer's memory, or a test's. */
export interface Objects<T extends KubeObject> {
  get(key: string): T | undefined;
  list(): readonly T[];
}

const PodDisruptionBudgets: Resource = {
  group: "policy",
  version: "v1",
  plural: "poddisruptionbudgets",
  kind: "PodDisruptionBudget",
  namespaced: true,
};

const NetworkPolicies: Resource = {
  group: "networking.k8s.io",
  version: "v1",
  plural: "networkpolicies",
  kind: "NetworkPolicy",
  namespaced: true,
};

/** Every kind that is made for a CacheRegistry, in the order in which to take it away: what uses before what is used. */
export const MANAGED_RESOURCES: readonly Resource[] = [
  Resources.deployments,
  Resources.services,
  PodDisruptionBudgets,
  NetworkPolicies,
  Resources.persistentVolumeClaims,
  Resources.configMaps,
  Resources.secrets,
];

/** The resource of a managed kind. */
export function managedResource(kind: string): Resource {
  const resource = MANAGED_RESOURCES.find((candidate) => candidate.kind === kind);
  if (resource === undefined) throw new Error(`${kind} is no kind that a CacheRegistry leads to`);
  return resource;
}

/** A Secret as the API server gives it; values are base64. */
export interface SecretObject extends KubeObject {
  readonly type?: string;
  readonly data?: Readonly<Record<string, string>>;
}

/** A Deployment, as far as its progress is read. */
export interface DeploymentObject extends KubeObject {
  readonly spec?: { readonly replicas?: number };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly replicas?: number;
    readonly updatedReplicas?: number;
    readonly availableReplicas?: number;
  };
}

/** An EndpointSlice, as far as addresses are read. */
export interface EndpointSliceObject extends KubeObject {
  readonly addressType: string;
  readonly endpoints?:
    | readonly {
        readonly addresses: readonly string[];
        readonly conditions?: { readonly ready?: boolean };
        readonly targetRef?: { readonly name?: string };
      }[]
    | null;
  readonly ports?: readonly { readonly name?: string; readonly port?: number }[] | null;
}
