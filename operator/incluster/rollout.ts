import type { DeploymentObject } from "../resources.ts";

/** Whether a Deployment has come to rest at what its spec says. */
export function isRolledOut(deployment: DeploymentObject): boolean {
  const { metadata, spec, status } = deployment;
  const wanted = spec?.replicas ?? 1;
  return (
    status?.observedGeneration === metadata.generation &&
    (status?.updatedReplicas ?? 0) >= wanted &&
    (status?.replicas ?? 0) <= wanted &&
    (status?.availableReplicas ?? 0) >= wanted
  );
}

/** The next step of whoever reads that a Deployment is not ready. */
export function lookAt(deployment: string, namespace: string): string {
  return `see kubectl -n ${namespace} describe deployment ${deployment}`;
}
