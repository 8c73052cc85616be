import type { ClusterHandle } from "./cluster.ts";

/** Makes a namespace, or adds the labels to one, in which Pods can be made at once. */
export async function applyNamespace(
  cluster: Pick<ClusterHandle, "kubectl" | "run" | "program">,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<void> {
  const namespace = { apiVersion: "v1", kind: "Namespace", metadata: { name, labels } };
  await cluster.kubectl(["apply", "-f", "-"], JSON.stringify(namespace));
  // Without this ServiceAccount no Pod is made. Its controller makes it too, but may first rest where the API server was restarted.
  const account = ["-n", name, "create", "serviceaccount", "default"];
  const { code, stderr } = await cluster.run([cluster.program("kubectl"), ...account]);
  if (code !== 0 && !stderr.includes("already exists")) throw new Error(stderr);
}
