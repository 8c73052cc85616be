import { loadAccess } from "../adapters/kube/access.ts";
import { type ConnectedKubeClient, connect } from "../adapters/kube/client.ts";
import type { ClusterFlags } from "./cluster-flags.ts";
import type { CliConfig } from "./config.ts";

/** A cluster as the user's kubeconfig leads to it. */
export interface UserCluster {
  readonly client: ConnectedKubeClient;
  /** The namespace of the kubeconfig's context. */
  readonly namespace: string;
  readonly systemNamespace: string;
}

/** Connects with the user's own rights. Throws for a kubeconfig that cannot be read and for a context that it does not have. */
export async function userCluster(flags: ClusterFlags, config: CliConfig): Promise<UserCluster> {
  const { KubeConfig } = await import("@kubernetes/client-node");
  const access = await loadAccess(flags.kubeconfig === undefined ? config.env : { KUBECONFIG: flags.kubeconfig });
  const systemNamespace = flags.systemNamespace ?? config.systemNamespace;
  if (!(access instanceof KubeConfig)) {
    if (flags.context !== undefined) throw new Error("--context needs a kubeconfig; inside a Pod there is none");
    return { client: connect(access), namespace: "default", systemNamespace };
  }
  if (flags.context !== undefined) access.setCurrentContext(flags.context);
  const context = access.getContextObject(access.getCurrentContext());
  if (context === null) throw new Error(`the kubeconfig has no context "${access.getCurrentContext()}"`);
  return { client: connect(access), namespace: context.namespace ?? "default", systemNamespace };
}
