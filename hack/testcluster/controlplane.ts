import { randomInt } from "node:crypto";
import { createServer } from "node:net";
import { join } from "node:path";
import { bin } from "./layout.ts";
import { keepLock } from "./lock.ts";
import { apiCertificate, kubeconfigPath } from "./pki.ts";
import type { DaemonSpec } from "./processes.ts";

/** What the control plane listens on. */
export interface Endpoints {
  /** The address that clients use; the certificate names it. */
  readonly host: string;
  /** The address that the API server listens on. */
  readonly bind: string;
  readonly api: number;
  readonly etcd: number;
  readonly etcdPeer: number;
}

/** Services get addresses from here. */
export const SERVICE_CIDR = "10.0.0.0/24";

/** For Go's collector: it waits until the heap has grown fivefold, since a cluster for tests has memory to spare and no CPU; but not beyond 1 GB. */
export const COLLECT_LATE = { GOGC: "400", GOMEMLIMIT: "1GiB" } as const;

/** A daemon named `name` that logs to `logs/<name>.log` in the state folder and runs the binary of that name. */
export function daemon(dir: string, name: string, args: readonly string[]): DaemonSpec {
  return { name, argv: [bin(dir, name), ...args], log: join(dir, `logs/${name}.log`), env: COLLECT_LATE };
}

/** etcd without durability: a test cluster lives as long as its machine. */
export function etcdDaemon(dir: string, on: Endpoints): DaemonSpec {
  const client = `http://127.0.0.1:${on.etcd}`;
  const peer = `http://127.0.0.1:${on.etcdPeer}`;
  return daemon(dir, "etcd", [
    `--data-dir=${join(dir, "data/etcd")}`,
    "--unsafe-no-fsync",
    `--listen-client-urls=${client}`,
    `--advertise-client-urls=${client}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=default=${peer}`,
    "--log-level=warn",
  ]);
}

/** kube-apiserver: RBAC, all default admission plugins (webhooks and policies among them), a certificate that it makes itself. */
export function apiServerDaemon(dir: string, on: Endpoints): DaemonSpec {
  return daemon(dir, "kube-apiserver", [
    `--etcd-servers=http://127.0.0.1:${on.etcd}`,
    `--bind-address=${on.bind}`,
    `--advertise-address=${on.host}`,
    `--secure-port=${on.api}`,
    `--cert-dir=${join(dir, "pki")}`,
    `--service-account-key-file=${join(dir, "pki/service-account.pub")}`,
    `--service-account-signing-key-file=${join(dir, "pki/service-account.key")}`,
    "--service-account-issuer=https://kubernetes.default.svc",
    `--token-auth-file=${join(dir, "pki/tokens.csv")}`,
    "--authorization-mode=Node,RBAC",
    "--enable-admission-plugins=NodeRestriction",
    "--allow-privileged=true",
    `--service-cluster-ip-range=${SERVICE_CIDR}`,
    "--kubelet-preferred-address-types=InternalIP",
    `--endpoint-reconciler-type=${on.host.startsWith("127.") ? "none" : "lease"}`, // loopback is no legal endpoint
    "--profiling=false",
  ]);
}

/** kube-controller-manager with all its default controllers; it listens on no port. */
export function controllerManagerDaemon(dir: string): DaemonSpec {
  return daemon(dir, "kube-controller-manager", [
    ...asAdmin(dir),
    `--service-account-private-key-file=${join(dir, "pki/service-account.key")}`,
    `--root-ca-file=${apiCertificate(dir)}`,
    "--secure-port=0",
  ]);
}

/** kube-scheduler; it listens on no port. As an administrator, because it starts before the roles are made that its own user has. */
export function schedulerDaemon(dir: string): DaemonSpec {
  return daemon(dir, "kube-scheduler", [...asAdmin(dir), "--secure-port=0"]);
}

function asAdmin(dir: string): string[] {
  return [`--kubeconfig=${kubeconfigPath(dir, "admin")}`, "--leader-elect=false"];
}

const PORTS = { from: 15_000, to: 30_000 }; // below those that outgoing connections take, which would race with us

/** `count` ports of the loopback address that nobody listens on, all different. They are this process's until it ends: nobody else is given them. */
export async function freePorts(count: number): Promise<number[]> {
  const found = new Set<number>();
  for (let tries = 0; found.size < count; tries += 1) {
    const port = randomInt(PORTS.from, PORTS.to);
    if ((await isFree(port)) && (await keepLock(`port-${port}`))) found.add(port);
    if (tries > 1000) throw new Error(`no free port between ${PORTS.from} and ${PORTS.to} on the loopback address`);
  }
  return [...found];
}

/** One port as `freePorts` gives them. */
export async function freePort(): Promise<number> {
  const [port] = await freePorts(1);
  if (port === undefined) throw new Error("no port was asked for");
  return port;
}

function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((done) => {
    server.once("error", () => done(false));
    server.listen(port, "127.0.0.1", () => server.close(() => done(true)));
  });
}
