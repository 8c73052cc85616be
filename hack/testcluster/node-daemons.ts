import { Resolver } from "node:dns/promises";
import { chmodSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { pauseImage } from "../images/workload.ts";
import { push } from "../oci/push.ts";
import {
  apiServerDaemon,
  controllerManagerDaemon,
  daemon,
  type Endpoints,
  etcdDaemon,
  schedulerDaemon,
} from "./controlplane.ts";
import { apiReady, apiServing, registryReady, waitUntil } from "./health.ts";
import { blobStore } from "./images.ts";
import { bin, stampOf } from "./layout.ts";
import { NODE_IP, REGISTRY } from "./node-conf.ts";
import { API_PORT, PAUSE_IMAGE, SERVER } from "./node-up.ts";
import { kubeconfigPath } from "./pki.ts";
import { type DaemonSpec, findProgram, startDaemon } from "./processes.ts";
import { registryDaemon } from "./registry.ts";
import { run } from "./run.ts";
import type { Settings } from "./settings.ts";
import { writeRecord } from "./state.ts";
import { ensureTool } from "./tools.ts";

const ENDPOINTS: Endpoints = { host: NODE_IP, bind: "0.0.0.0", api: API_PORT, etcd: 2379, etcdPeer: 2380 };
const VOLUMES = 20;

/** Starts every process of the cluster, in the namespaces of its node, and waits until the node is Ready and names resolve. */
export async function startNodeDaemons(settings: Settings): Promise<void> {
  const { dir } = settings;
  const first = [
    etcdDaemon(dir, ENDPOINTS),
    apiServerDaemon(dir, ENDPOINTS),
    registryDaemon(dir, bin(dir, "registry"), { name: "registry", listen: "0.0.0.0:5000" }),
    containerdDaemon(dir),
  ];
  const then = [
    controllerManagerDaemon(dir),
    schedulerDaemon(dir),
    kubeletDaemon(dir),
    kubeProxyDaemon(dir),
    coreDnsDaemon(dir),
  ];
  for (const spec of first) await startDaemon(dir, spec);
  await waitUntil("the registry", () => registryReady(REGISTRY), { dir, daemons: first });
  await pushPause(settings);
  await waitUntil("an API server", () => apiServing(dir, SERVER), { dir, daemons: first });
  for (const spec of then) await startDaemon(dir, spec);
  const daemons = [...first, ...then];
  const watch = { dir, daemons };
  await waitUntil("a ready API server", () => apiReady(dir, SERVER), watch);
  await applyStorage(dir);
  await waitUntil("a Ready node", () => nodeReady(dir), watch);
  await waitUntil("the cluster's DNS", dnsReady, watch);
  const kubeconfig = kubeconfigPath(dir, "admin");
  writeRecord(dir, {
    mode: "node",
    hasNode: true,
    stamp: stampOf(settings),
    kubeconfig,
    server: SERVER,
    registry: REGISTRY,
    daemons,
  });
}

function containerdDaemon(dir: string): DaemonSpec {
  return {
    ...daemon(dir, "containerd", ["--config", join(dir, "conf/containerd.toml")]),
    argv: [findProgram("containerd") ?? "containerd", "--config", join(dir, "conf/containerd.toml")],
  };
}

function kubeletDaemon(dir: string): DaemonSpec {
  return daemon(dir, "kubelet", [
    `--config=${join(dir, "conf/kubelet.json")}`,
    `--kubeconfig=${kubeconfigPath(dir, "node")}`,
    "--hostname-override=node1",
    `--node-ip=${NODE_IP}`,
    `--root-dir=${join(dir, "data/kubelet")}`,
    `--cert-dir=${join(dir, "data/kubelet/pki")}`,
  ]);
}

function kubeProxyDaemon(dir: string): DaemonSpec {
  return daemon(dir, "kube-proxy", [`--config=${join(dir, "conf/kube-proxy.json")}`]);
}

function coreDnsDaemon(dir: string): DaemonSpec {
  return daemon(dir, "coredns", ["-conf", join(dir, "conf/Corefile")]);
}

/** The image that holds every Pod's namespaces has to be there before the first Pod. */
async function pushPause(settings: Settings): Promise<void> {
  const store = blobStore(settings);
  const image = pauseImage(store, await ensureTool(settings, "pause"));
  await push(store, image, { registry: `http://${REGISTRY}`, ...PAUSE_IMAGE });
}

async function nodeReady(dir: string): Promise<boolean> {
  const path = "jsonpath={.status.conditions[?(@.type=='Ready')].status}";
  const { stdout } = await kubectl(dir, ["get", "node", "node1", "-o", path]);
  return stdout === "True";
}

async function dnsReady(): Promise<boolean> {
  const resolver = new Resolver({ timeout: 1000, tries: 1 });
  resolver.setServers([NODE_IP]);
  return resolver.resolve4("kubernetes.default.svc.cluster.local").then(
    (addresses) => addresses.length > 0,
    () => false,
  );
}

/** A default StorageClass with a few volumes, folders that every user may write: there is no provisioner. */
async function applyStorage(dir: string): Promise<void> {
  const names = Array.from({ length: VOLUMES }, (_, i) => `volume-${String(i + 1).padStart(2, "0")}`);
  for (const name of names) {
    const path = join(dir, "data/volumes", name);
    mkdirSync(path, { recursive: true });
    chmodSync(path, 0o777);
  }
  const storageClass = {
    apiVersion: "storage.k8s.io/v1",
    kind: "StorageClass",
    metadata: { name: "standard", annotations: { "storageclass.kubernetes.io/is-default-class": "true" } },
    provisioner: "kubernetes.io/no-provisioner",
    volumeBindingMode: "Immediate",
  };
  const volumes = names.map((name) => ({
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name },
    spec: {
      storageClassName: "standard",
      capacity: { storage: "10Gi" },
      accessModes: ["ReadWriteOnce", "ReadWriteMany"],
      persistentVolumeReclaimPolicy: "Retain",
      hostPath: { path: join(dir, "data/volumes", name) },
    },
  }));
  const list = { apiVersion: "v1", kind: "List", items: [storageClass, ...volumes] };
  const applied = await kubectl(dir, ["create", "-f", "-"], JSON.stringify(list));
  if (applied.code !== 0) throw new Error(`the StorageClass cannot be created: ${applied.stderr.trim()}`);
}

function kubectl(dir: string, args: readonly string[], input = ""): ReturnType<typeof run> {
  return run([bin(dir, "kubectl"), "--kubeconfig", kubeconfigPath(dir, "admin"), ...args], { input, env: process.env });
}
