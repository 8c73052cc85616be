import type { Owner, RegistryIdentity } from "./types.ts";

/** On everything that belongs to one CacheRegistry; its value is the registry's name, shortened where a label can't hold it. */
export const REGISTRY_LABEL = "entrepot.dev/registry";
/** The upstream that a backend proxies, in full: an annotation, since a label can't hold `host:port`. */
export const UPSTREAM_ANNOTATION = "entrepot.dev/upstream";
/** Hash of the manifest as applied: a field that is no longer wanted shows as a difference by it. */
export const APPLIED_ANNOTATION = "entrepot.dev/applied";
/** Hash of the mounted configuration, on the Pod template: a rotated credential rolls the Pods by it. */
export const CONFIG_ANNOTATION = "entrepot.dev/config-hash";

/** What the operator makes for registries, and so may delete. */
export const MANAGED_SELECTOR = "app.kubernetes.io/name=entrepot,app.kubernetes.io/managed-by=entrepot";

/** On the Pods of proxies whose storage is opened with their own identity: Azure's workload identity webhook asks for it. */
export const AZURE_IDENTITY_LABEL = "azure.workload.identity/use";

/** On a namespace, with the value "true": its Pods may read the metrics of proxies. */
export const MONITORING_LABEL = "entrepot.dev/monitoring";

export type Component = "gateway" | "cache" | "credentials";

/** The value of the registry label: names of CacheRegistries may be longer than labels, which end at 63 characters. */
export function registryLabel(registry: string): string {
  return registry.length <= 63 ? registry : registry.slice(0, 63).replace(/[^a-z0-9]+$/, "");
}

/** The labels that select the Pods of one component of one registry. */
export function selectorLabels(registry: string, component: Component, instance: string): Record<string, string> {
  return {
    "app.kubernetes.io/name": "entrepot",
    "app.kubernetes.io/component": component,
    "app.kubernetes.io/instance": instance,
    [REGISTRY_LABEL]: registryLabel(registry),
  };
}

/** The labels of everything that the operator makes for a registry. */
export function managedLabels(registry: string, component: Component, instance: string): Record<string, string> {
  return { ...selectorLabels(registry, component, instance), "app.kubernetes.io/managed-by": "entrepot" };
}

/** Owner reference to the CacheRegistry: cluster-scoped owners may own namespaced objects, and garbage collection is the second net below the finalizer. */
export function ownedBy(registry: RegistryIdentity): readonly Owner[] {
  return [
    {
      apiVersion: "entrepot.dev/v1alpha1",
      kind: "CacheRegistry",
      name: registry.name,
      uid: registry.uid,
      controller: true,
      blockOwnerDeletion: true,
    },
  ];
}
