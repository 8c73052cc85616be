import { KubeError } from "./errors.ts";
import type { KubeObject, ObjectKey, Resource } from "./types.ts";

function resource(apiVersion: string, plural: string, kind: string, namespaced = true): Resource {
  const [group, version] = apiVersion.includes("/") ? apiVersion.split("/", 2) : ["", apiVersion];
  return Object.freeze({ group: group ?? "", version: version ?? "", plural, kind, namespaced });
}

/** The built-in resources that this project touches. Our own kinds are beside their CRDs. */
export const Resources = Object.freeze({
  namespaces: resource("v1", "namespaces", "Namespace", false),
  pods: resource("v1", "pods", "Pod"),
  serviceAccounts: resource("v1", "serviceaccounts", "ServiceAccount"),
  secrets: resource("v1", "secrets", "Secret"),
  configMaps: resource("v1", "configmaps", "ConfigMap"),
  services: resource("v1", "services", "Service"),
  persistentVolumeClaims: resource("v1", "persistentvolumeclaims", "PersistentVolumeClaim"),
  replicationControllers: resource("v1", "replicationcontrollers", "ReplicationController"),
  events: resource("events.k8s.io/v1", "events", "Event"),
  leases: resource("coordination.k8s.io/v1", "leases", "Lease"),
  endpointSlices: resource("discovery.k8s.io/v1", "endpointslices", "EndpointSlice"),
  deployments: resource("apps/v1", "deployments", "Deployment"),
  replicaSets: resource("apps/v1", "replicasets", "ReplicaSet"),
  statefulSets: resource("apps/v1", "statefulsets", "StatefulSet"),
  daemonSets: resource("apps/v1", "daemonsets", "DaemonSet"),
  jobs: resource("batch/v1", "jobs", "Job"),
  cronJobs: resource("batch/v1", "cronjobs", "CronJob"),
  mutatingWebhookConfigurations: resource(
    "admissionregistration.k8s.io/v1",
    "mutatingwebhookconfigurations",
    "MutatingWebhookConfiguration",
    false,
  ),
  validatingWebhookConfigurations: resource(
    "admissionregistration.k8s.io/v1",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
    false,
  ),
  customResourceDefinitions: resource(
    "apiextensions.k8s.io/v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    false,
  ),
});

/** The built-in resource of an `apiVersion` and `kind` (as ownerReferences name them), or undefined when it is not one of ours. */
export function resourceOf(apiVersion: string, kind: string): Resource | undefined {
  return Object.values(Resources).find(
    (candidate) => candidate.kind === kind && apiVersionOf(candidate) === apiVersion,
  );
}

/** `group/version`, or `version` for the core group. */
export function apiVersionOf({ group, version }: Resource): string {
  return group === "" ? version : `${group}/${version}`;
}

/** The key of an object in informers and queues: `namespace/name`, or `name` when cluster-scoped. */
export function keyOf(object: Pick<KubeObject, "metadata">): ObjectKey {
  const { namespace, name } = object.metadata;
  return namespace === undefined ? name : `${namespace}/${name}`;
}

// Names reach us from ownerReferences that anyone may write: what would change the path is refused, by the API server's own
// rule (k8s.io/apimachinery pkg/api/validation/path: IsValidPathSegmentName).
function segment(value: string): string {
  if (value === "" || value === "." || value === ".." || /[/%]/.test(value)) {
    throw new KubeError("INVALID", `${JSON.stringify(value.slice(0, 80))} cannot be the name of a Kubernetes object`);
  }
  return encodeURIComponent(value);
}

function root({ group, version }: Resource): string {
  return group === "" ? `/api/${segment(version)}` : `/apis/${segment(group)}/${segment(version)}`;
}

/** The path of a collection; without a namespace, that of all namespaces. Throws INVALID for what is no path segment. */
export function collectionPath(resource: Resource, namespace?: string): string {
  const scope = resource.namespaced && namespace !== undefined ? `/namespaces/${segment(namespace)}` : "";
  return `${root(resource)}${scope}/${segment(resource.plural)}`;
}

/** The path of one object, or of its subresource. Throws INVALID for a namespaced kind without namespace and for what is no path segment. */
export function objectPath(resource: Resource, name: string, namespace?: string, subresource?: "status"): string {
  if (resource.namespaced && namespace === undefined) {
    throw new KubeError("INVALID", `${resource.kind} ${JSON.stringify(name.slice(0, 80))} needs a namespace`);
  }
  const suffix = subresource === undefined ? "" : `/${subresource}`;
  return `${collectionPath(resource, namespace)}/${segment(name)}${suffix}`;
}
