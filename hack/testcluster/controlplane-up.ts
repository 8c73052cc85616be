import { apiServerDaemon, controllerManagerDaemon, type Endpoints, etcdDaemon, freePorts } from "./controlplane.ts";
import { apiReady, apiServing, registryReady, waitUntil } from "./health.ts";
import { type Binaries, bin, makeFolders, stampOf } from "./layout.ts";
import { kubeconfigPath, writeCredentials } from "./pki.ts";
import { type DaemonSpec, startDaemon } from "./processes.ts";
import { registryDaemon } from "./registry.ts";
import type { Settings } from "./settings.ts";
import { type ClusterRecord, writeRecord } from "./state.ts";

/** Starts etcd, the API server, the controllers and the plain registry on free ports of the loopback address; returns when all answer. */
export async function startControlPlane(settings: Settings, binaries: Binaries): Promise<ClusterRecord> {
  const { dir } = settings;
  makeFolders(settings, binaries);
  const [api = 0, etcd = 0, etcdPeer = 0, registryPort = 0] = await freePorts(4);
  const endpoints: Endpoints = { host: "127.0.0.1", bind: "127.0.0.1", api, etcd, etcdPeer };
  const server = `https://127.0.0.1:${api}`;
  const registry = `127.0.0.1:${registryPort}`;
  writeCredentials(dir, server);
  const first: DaemonSpec[] = [
    etcdDaemon(dir, endpoints),
    apiServerDaemon(dir, endpoints),
    registryDaemon(dir, bin(dir, "registry"), { name: "registry", listen: registry }),
  ];
  for (const spec of first) await startDaemon(dir, spec);
  await waitUntil("an API server", () => apiServing(dir, server), { dir, daemons: first });
  const then = binaries.has("kube-controller-manager") ? [controllerManagerDaemon(dir)] : [];
  for (const spec of then) await startDaemon(dir, spec);
  const watch = { dir, daemons: [...first, ...then] };
  await waitUntil("a ready API server", () => apiReady(dir, server), watch);
  await waitUntil("the registry", () => registryReady(registry), watch);
  const record: ClusterRecord = {
    mode: "control-plane",
    hasNode: false,
    stamp: stampOf(settings),
    kubeconfig: kubeconfigPath(dir, "admin"),
    server,
    registry,
    daemons: watch.daemons,
  };
  writeRecord(dir, record);
  return record;
}
