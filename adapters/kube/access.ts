import { access, readFile } from "node:fs/promises";
import type { RequestOptions } from "node:https";
import { isIPv6 } from "node:net";
import { delimiter } from "node:path";
import type { KubeConfig } from "@kubernetes/client-node";

/** What `connect` needs of a KubeConfig of @kubernetes/client-node: the current cluster, user and their credentials. */
export type KubeAccess = Pick<KubeConfig, "getCurrentCluster" | "getCurrentUser" | "applyToHTTPSOptions">;

/** Where the kubelet mounts a Pod's credentials. */
export const SERVICE_ACCOUNT_DIR = "/var/run/secrets/kubernetes.io/serviceaccount";

/**
 * Access from inside a Pod. Token and CA are read from their files each time they are asked for: the kubelet rotates them.
 * Loading it costs nothing, where importing @kubernetes/client-node costs some 90 MB of resident memory in every replica.
 */
export function inClusterAccess(host: string, port: string, directory: string = SERVICE_ACCOUNT_DIR): KubeAccess {
  const address = isIPv6(host) ? `[${host}]` : host;
  const cluster = { name: "in-cluster", server: `https://${address}:${port}`, skipTLSVerify: false };
  const user = { name: "in-cluster" };
  return {
    getCurrentCluster: () => cluster,
    getCurrentUser: () => user,
    applyToHTTPSOptions: async (options: RequestOptions) => {
      const [ca, token] = await Promise.all([readFile(`${directory}/ca.crt`), readFile(`${directory}/token`, "utf8")]);
      options.ca = ca;
      options.headers = { ...options.headers, Authorization: `Bearer ${token.trim()}` };
    },
  };
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

/**
 * The access that the environment gives: `KUBECONFIG` first, else the Pod's service account, else ~/.kube/config.
 * Throws what @kubernetes/client-node throws for a kubeconfig that it cannot read.
 */
export async function loadAccess(env: NodeJS.ProcessEnv): Promise<KubeAccess> {
  const host = env["KUBERNETES_SERVICE_HOST"];
  const port = env["KUBERNETES_SERVICE_PORT"];
  const inPod = host !== undefined && port !== undefined && (await exists(`${SERVICE_ACCOUNT_DIR}/token`));
  const files = (env["KUBECONFIG"] ?? "").split(delimiter).filter((file) => file !== "");
  if (files.length === 0 && inPod) return inClusterAccess(host, port);
  const { KubeConfig } = await import("@kubernetes/client-node");
  const config = new KubeConfig();
  if (files.length === 0) config.loadFromDefault();
  for (const file of files) {
    const part = new KubeConfig();
    part.loadFromFile(file);
    config.mergeConfig(part, config.getCurrentContext() !== undefined); // the first file's current context holds
  }
  return config;
}
