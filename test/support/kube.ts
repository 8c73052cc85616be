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

/** A namespace of its own for one test file; its name begins with `prefix`. It has its labels from the beginning: the API server learns of other ones a moment later. */
export async function freshNamespace(
  client: ConnectedKubeClient,
  prefix: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<string> {
  const namespace = `${prefix}-${randomBytes(4).toString("hex")}`;
  const metadata = { name: namespace, labels };
  await client.create(Resources.namespaces, { apiVersion: "v1", kind: "Namespace", metadata });
  await makeAccount(client, namespace);
  return namespace;
}

/** Without this ServiceAccount no Pod is made. Its controller makes it too, but may first rest for a minute where the API server was restarted a few times. */
async function makeAccount(client: ConnectedKubeClient, namespace: string): Promise<void> {
  try {
    const metadata = { name: "default", namespace };
    await client.create(Resources.serviceAccounts, { apiVersion: "v1", kind: "ServiceAccount", metadata });
  } catch (thrown) {
    if (!(thrown instanceof KubeError) || thrown.code !== "ALREADY_EXISTS") throw thrown;
  }
}

/** For the tests that share the processors: who has waited for long can wait a moment longer, and asks less often. */
const SOONEST_MS = 20;
const LATEST_MS = 250;

/**
 * Waits until `probe` gives something (not undefined or false); rejects with `what` after `ms`. It asks every 20 ms at first, then each time
 * that a tenth of the wait has passed again, or every 250 ms, or `everyMs`.
 */
export async function eventually<T>(
  what: string,
  probe: () => T | undefined | false | Promise<T | undefined | false>,
  ms = 90_000, // an API server that was just restarted may need a minute
  everyMs?: number,
): Promise<T> {
  const began = performance.now();
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    const waited = performance.now() - began;
    if (waited > ms) throw new Error(`did not happen within ${ms} ms: ${what}`);
    const pause = everyMs ?? Math.min(Math.max(SOONEST_MS, waited / 10), LATEST_MS);
    await new Promise((resolve) => setTimeout(resolve, pause));
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
