import { eventually } from "../test/support/kube.ts";
import type { Bed } from "./contestant.ts";

const GONE_MS = 120_000;

/** Makes the namespace that is measured; resolves when Pods can be created there. */
export async function makeNamespace(
  { api, namespace }: Bed,
  labels: Readonly<Record<string, string>> = {},
): Promise<void> {
  const body = { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace, labels } };
  await api.must({ method: "POST", path: "/api/v1/namespaces", body });
  const account = `/api/v1/namespaces/${namespace}/serviceaccounts/default`;
  await eventually("a ServiceAccount", async () => (await api.send({ method: "GET", path: account })).status === 200);
}

/** Removes it; resolves when it and all in it is gone. It is no error if it never was. */
export async function removeNamespace({ api, namespace }: Bed): Promise<void> {
  const path = `/api/v1/namespaces/${namespace}`;
  await api.send({ method: "DELETE", path });
  const gone = async () => (await api.send({ method: "GET", path })).status === 404;
  await eventually(`the end of namespace ${namespace}`, gone, GONE_MS);
}
