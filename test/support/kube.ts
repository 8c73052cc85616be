import { randomBytes } from "node:crypto";
import { loadAccess } from "../../adapters/kube/access.ts";
import { type ClientOptions, type ConnectedKubeClient, connect } from "../../adapters/kube/client.ts";
import { KubeError, type KubeErrorCode } from "../../adapters/kube/errors.ts";
import { Resources } from "../../adapters/kube/resources.ts";
import type { ClusterHandle } from "./cluster.ts";

/** A client of the test cluster with all rights. */
export async function adminClient(cluster: ClusterHandle, options: ClientOptions = {}): Promise<ConnectedKubeClient> {
  return connect(await loadAccess({ KUBECONFIG: cluster.kubeconfig }), options);
}

/** A namespace of its own for one test file; its name begins with `prefix`. */
export async function freshNamespace(client: ConnectedKubeClient, prefix: string): Promise<string> {
  const name = `${prefix}-${randomBytes(4).toString("hex")}`;
  await client.create(Resources.namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name } });
  const account = () => client.get(Resources.serviceAccounts, "default", { namespace: name }).catch(() => undefined);
  await eventually(`the ServiceAccount of ${name}, without which no Pod is made`, account);
  return name;
}

/** Waits until `probe` gives something (not undefined or false), asking every 20 ms; rejects with `what` after `ms`. */
export async function eventually<T>(
  what: string,
  probe: () => T | undefined | false | Promise<T | undefined | false>,
  ms = 40_000,
  everyMs = 20,
): Promise<T> {
  const end = performance.now() + ms;
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > end) throw new Error(`did not happen within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

/** Awaits a rejection with a `KubeError` of that code, and gives the error. */
export async function rejectsWith(code: KubeErrorCode, promise: Promise<unknown>): Promise<KubeError> {
  const thrown = await promise.then(
    (value) => `success: ${JSON.stringify(value)}`,
    (error: unknown) => error,
  );
  if (!(thrown instanceof KubeError) || thrown.code !== code)
    throw new Error(`expected a KubeError ${code}, got ${String(thrown)}`, { cause: thrown });
  return thrown;
}
