import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { kubeconfigPath } from "./pki.ts";

/** The node's address: the same in every cluster, since each has a network of its own. */
export const NODE_IP = "10.250.0.1";
const POD_CIDR = "10.244.0.0/24";
const DOMAIN = "cluster.local";

/** The registries that have a name: on the node, in the Pods, for commands run by `exec`. Plain HTTP, as every name in `.local` is. */
export const REGISTRY = "registry.local:5000";
export const UPSTREAM_HOST = "upstream.local";
const NAMES = [REGISTRY.split(":")[0], UPSTREAM_HOST];

/** What the node's files need to know of the machine. */
export interface NodeFacts {
  readonly cgroup: string;
  readonly runc: string;
  readonly cni: string;
  readonly pauseImage: string;
  /** The hard limit of open files: the kubelet fails if it asks for more. */
  readonly openFiles: number;
}

/** Writes hosts and resolv.conf of the namespaces: two registries by name, everything else by the cluster's DNS. */
export function writeNames(dir: string): void {
  writeFileSync(join(dir, "conf/hosts"), `127.0.0.1 localhost\n${NODE_IP} node1 ${NAMES.join(" ")}\n`);
  writeFileSync(
    join(dir, "conf/resolv.conf"),
    `nameserver ${NODE_IP}\nsearch svc.${DOMAIN} ${DOMAIN}\noptions ndots:5 timeout:2\n`,
  );
}

/** Lets the node's runtime pull from a plain HTTP registry (`host:port`); the runtime looks at each pull. */
export function trustPlainHttp(dir: string, address: string): void {
  const folder = join(dir, "conf/certs.d", address);
  mkdirSync(folder, { recursive: true });
  const hosts = `server = "http://${address}"\n[host."http://${address}"]\n  capabilities = ["pull", "resolve"]\n`;
  writeFileSync(join(folder, "hosts.toml"), hosts);
}

/** Writes the configuration of everything that runs on the node. */
export function writeNodeConf(dir: string, facts: NodeFacts): void {
  const put = (name: string, content: string | object) =>
    writeFileSync(
      join(dir, "conf", name),
      typeof content === "string" ? content : `${JSON.stringify(content, null, 2)}\n`,
    );
  mkdirSync(join(dir, "conf/cni"), { recursive: true });
  writeNames(dir);
  put("containerd.toml", containerd(dir, facts));
  for (const address of [REGISTRY, `${UPSTREAM_HOST}:5001`]) trustPlainHttp(dir, address);
  put("cni/10-bridge.conflist", cni());
  put("kubelet.json", kubelet(dir, facts));
  put("kube-proxy.json", kubeProxy(dir));
  put("Corefile", corefile(dir));
}

// Debian's containerd is 1.6: configuration version 2. containerd 2 reads it too.
function containerd(dir: string, facts: NodeFacts): string {
  const cri = 'plugins."io.containerd.grpc.v1.cri"';
  return `version = 2
root = "${join(dir, "data/containerd")}"
state = "/run/containerd"
oom_score = 0
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "/run/containerd/containerd.sock"
[${cri}]
  sandbox_image = "${facts.pauseImage}"
  restrict_oom_score_adj = true # without CAP_SYS_RESOURCE no score can be lowered
  [${cri}.containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [${cri}.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [${cri}.containerd.runtimes.runc.options]
        BinaryName = "${facts.runc}"
        SystemdCgroup = false
  [${cri}.cni]
    bin_dir = "${facts.cni}"
    conf_dir = "${join(dir, "conf/cni")}"
  [${cri}.registry]
    config_path = "${join(dir, "conf/certs.d")}"
`;
}

function cni(): object {
  const ipam = {
    type: "host-local",
    dataDir: "/run/cni-ipam",
    ranges: [[{ subnet: POD_CIDR }]],
    routes: [{ dst: "0.0.0.0/0" }],
  };
  const bridge = { type: "bridge", bridge: "cni0", isGateway: true, hairpinMode: true, ipMasq: false, ipam };
  return { cniVersion: "1.0.0", name: "pods", plugins: [bridge] };
}

function kubelet(dir: string, facts: NodeFacts): object {
  return {
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "KubeletConfiguration",
    address: NODE_IP,
    authentication: { anonymous: { enabled: true }, webhook: { enabled: false } }, // reachable from its own network alone
    authorization: { mode: "AlwaysAllow" },
    cgroupDriver: "cgroupfs",
    cgroupRoot: `/${facts.cgroup}`,
    failCgroupV1: false,
    failSwapOn: false,
    clusterDNS: [NODE_IP],
    clusterDomain: DOMAIN,
    resolvConf: join(dir, "conf/resolv.conf"),
    containerRuntimeEndpoint: "unix:///run/containerd/containerd.sock",
    podLogsDir: join(dir, "data/podlogs"),
    healthzBindAddress: "127.0.0.1",
    readOnlyPort: 0,
    maxOpenFiles: Math.min(facts.openFiles, 1_000_000),
    oomScoreAdj: 0,
    evictionHard: {
      "memory.available": "100Mi",
      "nodefs.available": "1%",
      "imagefs.available": "1%",
      "nodefs.inodesFree": "1%",
    },
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
    nodeStatusUpdateFrequency: "5s",
    syncFrequency: "5s",
    serializeImagePulls: false,
  };
}

function kubeProxy(dir: string): object {
  return {
    apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
    kind: "KubeProxyConfiguration",
    clientConnection: { kubeconfig: kubeconfigPath(dir, "admin") },
    hostnameOverride: "node1",
    mode: "iptables",
    clusterCIDR: POD_CIDR,
    bindAddress: "127.0.0.1",
    healthzBindAddress: "127.0.0.1:10256",
    metricsBindAddress: "127.0.0.1:10249",
    oomScoreAdj: 0,
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: "0s", tcpCloseWaitTimeout: "0s" }, // the machine's settings stay
  };
}

// One block per zone: a plugin that answers for everything would otherwise hide the next. Nothing is forwarded: there is no way out.
function corefile(dir: string): string {
  return `${DOMAIN}:53 in-addr.arpa:53 {
  errors
  kubernetes ${DOMAIN} in-addr.arpa {
    kubeconfig ${kubeconfigPath(dir, "admin")}
    ttl 1
  }
}
${NAMES.map((name) => `${name}:53`).join(" ")} {
  errors
  hosts {
    ttl 5
    ${NODE_IP} ${NAMES.join(" ")}
  }
}
.:53 {
  errors
  template ANY ANY {
    rcode NXDOMAIN
  }
}
`;
}
