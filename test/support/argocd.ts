// The real Argo CD (application controller and repository server, no UI) against an API server. Nothing of it is in this repository: its
// binary, its CRDs, its roles and its configuration come from its Go module.
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { dump, load, loadAll } from "js-yaml";
import { freePorts } from "../../hack/testcluster/controlplane.ts";
import { moduleFolder } from "../../hack/testcluster/gomodule.ts";
import type { ClusterHandle } from "../../hack/testcluster/handle.ts";
import { endDaemons, findDaemons, startDaemon } from "../../hack/testcluster/processes.ts";
import { ensureTool } from "../../hack/testcluster/tools.ts";
import { established } from "./install.ts";
import { eventually } from "./kube.ts";

export const ARGOCD_NAMESPACE = "argocd";
const MODULE = "github.com/argoproj/argo-cd/v3";
const CONTROLLER = "argocd-application-controller";
const CRDS = ["application", "appproject"].map((kind) => `manifests/crds/${kind}-crd.yaml`);
const ACCOUNT = `manifests/base/application-controller-roles/${CONTROLLER}-sa.yaml`;
const CLUSTER_ROLES = ["clusterrole", "clusterrolebinding"].map(
  (kind) => `manifests/cluster-rbac/application-controller/${CONTROLLER}-${kind}.yaml`,
);
const CONFIG = ["cm", "cmd-params-cm", "secret", "rbac-cm", "tls-certs-cm", "gpg-keys-cm", "ssh-known-hosts-cm"].map(
  (kind) => `manifests/base/config/argocd-${kind}.yaml`,
);

interface Manifest {
  readonly kind: string;
  readonly metadata: object;
}

/** The project that its own server would make at its first start. */
const PROJECT = {
  apiVersion: "argoproj.io/v1alpha1",
  kind: "AppProject",
  metadata: { name: "default", namespace: ARGOCD_NAMESPACE },
  spec: {
    clusterResourceWhitelist: [{ group: "*", kind: "*" }],
    destinations: [{ namespace: "*", server: "*" }],
    sourceRepos: ["*"],
  },
};

/** Argo CD, at work on an API server. */
export interface ArgoCd {
  /** Takes its Applications, CRDs and roles away, whatever still holds them, and ends it. What it has synced stays. */
  remove(): Promise<void>;
}

/** Why there can be no Argo CD here; undefined when there can. The first time on a machine it is built, which takes minutes. */
export async function argoCdObstacle(cluster: Pick<ClusterHandle, "settings">): Promise<string | undefined> {
  try {
    await ensureTool(cluster.settings, "argocd");
    await moduleFolder(cluster.settings, "argocd", MODULE);
    return undefined;
  } catch (thrown) {
    return `Argo CD can't be built: ${String(thrown)}`;
  }
}

/**
 * Installs it and starts it; resolves when its controller is at work. `addition` is a file that is applied to its configuration. It is
 * its own ServiceAccount to the API server, so that admission sees what it sees in a cluster.
 */
export async function startArgoCd(cluster: ClusterHandle, addition: string): Promise<ArgoCd> {
  const { settings } = cluster;
  const source = await moduleFolder(settings, "argocd", MODULE);
  const manifests = (files: readonly string[]) => files.map((file) => readManifest(join(source, file)));
  const apply = (items: readonly object[]) =>
    cluster.kubectl(
      ["apply", "--server-side", "--force-conflicts", "-f", "-"],
      JSON.stringify({ apiVersion: "v1", kind: "List", items }),
    );
  const namespace = { apiVersion: "v1", kind: "Namespace", metadata: { name: ARGOCD_NAMESPACE } };
  const shared = [...manifests(CRDS), ...manifests(CLUSTER_ROLES)];
  await apply([namespace, ...shared]); // too large for what a client-side apply notes
  await established(cluster);
  await apply([...manifests([ACCOUNT, ...CONFIG]).map(inNamespace), PROJECT]);
  await cluster.kubectl(["apply", "--server-side", "--field-manager=entrepot-health", "-f", addition]);
  await startParts(cluster);
  return { remove: () => remove(cluster, shared) };
}

function readManifest(path: string): Manifest {
  const [only] = loadAll(readFileSync(path, "utf8")) as Manifest[];
  if (only === undefined) throw new Error(`${path} is empty`);
  return only;
}

/** Its own server would also make the key, without which nothing is synced. */
function inNamespace({ metadata, ...rest }: Manifest): object {
  const key = { stringData: { "server.secretkey": randomBytes(32).toString("base64") } };
  const more = rest.kind === "Secret" ? key : {};
  return { ...rest, ...more, metadata: { ...metadata, namespace: ARGOCD_NAMESPACE } };
}

/** A kubeconfig of its ServiceAccount. */
async function ownKubeconfig(cluster: ClusterHandle, dir: string): Promise<string> {
  const token = await cluster.kubectl(["-n", ARGOCD_NAMESPACE, "create", "token", CONTROLLER, "--duration=2h"]);
  const config = load(readFileSync(cluster.kubeconfig, "utf8")) as { users: { user: object }[] };
  for (const user of config.users) user.user = { token: token.trim() };
  const path = join(dir, "kubeconfig");
  writeFileSync(path, dump(config), { mode: 0o600 });
  return path;
}

async function startParts(cluster: ClusterHandle): Promise<void> {
  const { settings } = cluster;
  const binary = await ensureTool(settings, "argocd");
  const dir = join(settings.dir, "argocd");
  for (const folder of ["tls", "ssh", "gpg", "plugins", "tmp"]) mkdirSync(join(dir, folder), { recursive: true });
  const kubeconfig = await ownKubeconfig(cluster, dir);
  const [redis = 0, repo = 0, repoMetrics = 0, metrics = 0] = await freePorts(4);
  const env = {
    KUBECONFIG: kubeconfig,
    ARGOCD_FAKE_IN_CLUSTER: "true", // https://kubernetes.default.svc is then the API server of the kubeconfig
    ARGOCD_GPG_ENABLED: "false",
    ARGOCD_TLS_DATA_PATH: join(dir, "tls"),
    ARGOCD_SSH_DATA_PATH: join(dir, "ssh"),
    ARGOCD_GPG_DATA_PATH: join(dir, "gpg"),
    ARGOCD_GNUPGHOME: join(dir, "gpg"),
    ARGOCD_PLUGINSOCKFILEPATH: join(dir, "plugins"),
    TMPDIR: join(dir, "tmp"),
    HOSTNAME: `${CONTROLLER}-0`,
  };
  const start = (part: string, ...args: readonly string[]) =>
    startDaemon(settings.dir, {
      name: `argocd-${part}`,
      argv: [binary, part, ...args],
      env,
      log: cluster.logPath(`argocd-${part}`),
    });
  await start("redis", `127.0.0.1:${redis}`);
  const repoServer = ["--address=127.0.0.1", `--port=${repo}`, "--disable-tls", `--redis=127.0.0.1:${redis}`];
  await start("repo-server", ...repoServer, "--metrics-address=127.0.0.1", `--metrics-port=${repoMetrics}`);
  const backends = [`--redis=127.0.0.1:${redis}`, `--repo-server=127.0.0.1:${repo}`, "--repo-server-plaintext"];
  // Looks at every Application every ten seconds, and puts drift right without waiting longer each time.
  const often = ["--app-resync=10", "--app-resync-jitter=0", "--self-heal-backoff-factor=1"];
  const heal = ["--self-heal-timeout-seconds=1", "--self-heal-backoff-timeout-seconds=1"];
  const where = [`--kubeconfig=${kubeconfig}`, `--namespace=${ARGOCD_NAMESPACE}`, `--metrics-port=${metrics}`];
  await start("application-controller", ...where, ...backends, ...often, ...heal, "--persist-resource-health");
  for (const port of [repoMetrics, metrics]) await eventually("Argo CD", () => isHealthy(port), 60_000);
}

function isHealthy(port: number): Promise<boolean> {
  return fetch(`http://127.0.0.1:${port}/healthz`).then(
    ({ ok }) => ok,
    () => false, // it does not listen yet
  );
}

async function remove(cluster: ClusterHandle, shared: readonly object[]): Promise<void> {
  const { settings } = cluster;
  await endDaemons(
    findDaemons(settings.dir).filter(({ name }) => name.startsWith("argocd-")),
    settings.dir,
    "SIGKILL",
  );
  const applications = ["-n", ARGOCD_NAMESPACE, "get", "applications.argoproj.io", "-o", "name"];
  const left = (await cluster.kubectl(applications)).split("\n").filter((name) => name !== "");
  const free = ["--type=merge", "-p", '{"metadata":{"finalizers":null}}'];
  for (const name of left) await cluster.kubectl(["-n", ARGOCD_NAMESPACE, "patch", name, ...free]);
  const list = JSON.stringify({ apiVersion: "v1", kind: "List", items: shared });
  await cluster.kubectl(["delete", "--ignore-not-found", "-f", "-"], list);
  await cluster.kubectl(["delete", "namespace", ARGOCD_NAMESPACE, "--wait=false"]);
}
