/** Which cluster is asked, as kubectl's own flags have it. */
export interface ClusterFlags {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly systemNamespace?: string;
}

/** The flags as `parseArgs` reads them. */
export const CLUSTER_OPTIONS = {
  kubeconfig: { type: "string" },
  context: { type: "string" },
  "system-namespace": { type: "string" },
} as const;

type ClusterValues = { [Name in keyof typeof CLUSTER_OPTIONS]?: string };

/** The flags that were given. */
export function clusterOf({ kubeconfig, context, "system-namespace": systemNamespace }: ClusterValues): ClusterFlags {
  return {
    ...(kubeconfig !== undefined && { kubeconfig }),
    ...(context !== undefined && { context }),
    ...(systemNamespace !== undefined && { systemNamespace }),
  };
}
