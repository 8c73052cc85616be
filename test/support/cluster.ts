import { clean } from "../../hack/testcluster/clean.ts";
import { existingCluster } from "../../hack/testcluster/external.ts";
import { ClusterHandle } from "../../hack/testcluster/handle.ts";
import { settingsFrom } from "../../hack/testcluster/settings.ts";
import { readRecord } from "../../hack/testcluster/state.ts";
import { up } from "../../hack/testcluster/up.ts";
import { ownSettings } from "./own-clusters.ts";

export type { ClusterHandle, ExtraRegistry } from "../../hack/testcluster/handle.ts";
export type { CommandResult } from "../../hack/testcluster/run.ts";

const say = (line: string) => console.error(`      ${line}`);

let shared: Promise<ClusterHandle> | undefined;

/**
 * The cluster of this test run, started by whoever asks first and shared by all test files (so name what you create after your test).
 * In this order:
 * - inside `./hack/cluster exec --`: that cluster, node and product and all;
 * - with `KUBECONFIG`: that existing cluster (components cannot be restarted there);
 * - with `ENTREPOT_CLUSTER`: the control plane of that name, started if it is not up, and left up;
 * - else a control plane of its own, which ends with this process.
 *
 * Call it in `before` with `this.timeout(0)`: the first time on a machine it builds Kubernetes.
 */
export function sharedCluster(): Promise<ClusterHandle> {
  shared ??= obtain();
  return shared;
}

/** Skips the running suite, by name, in a cluster with a node, where the product's own operator runs already. Call it in `before`. */
export function requireNoOperator(context: Mocha.Context, cluster: ClusterHandle): void {
  if (!cluster.hasNode) return;
  const title = context.test?.parent?.title ?? "a suite";
  console.error(`      skipped: ${title}: an operator of its own runs in this cluster already`);
  context.skip();
}

/** Skips the running test or suite, by name and with the reason on the console, when the cluster has no node. */
export function requireNode(context: Mocha.Context, cluster: ClusterHandle): void {
  if (cluster.hasNode) return;
  const title = context.test?.fullTitle() ?? "a test";
  console.error(
    `      skipped: ${title}: it needs a node, and this is a control plane alone (run: ./hack/cluster exec -- mocha ...)`,
  );
  context.skip();
}

async function obtain(): Promise<ClusterHandle> {
  const settings = settingsFrom(process.env);
  const running = settings.inside ? readRecord(settings.dir) : undefined;
  if (running !== undefined) return new ClusterHandle(settings, running);
  if (settings.kubeconfig === undefined && process.env["ENTREPOT_CLUSTER"])
    return new ClusterHandle(settings, await up(settings, { node: false }, say));
  return ownCluster();
}

/**
 * A control plane for one suite alone, whose objects nobody has to take away again; `end` removes it. Where tests are told which cluster to
 * use, it is one of its own all the same.
 */
export async function ownControlPlane(prefix: string): Promise<{ cluster: ClusterHandle; end: () => Promise<void> }> {
  const settings = await ownSettings(prefix);
  const cluster = new ClusterHandle(settings, await up(settings, { node: false }, () => undefined));
  return { cluster, end: async () => await clean(settings, { logs: true }) };
}

/** A cluster, or the use of an existing one, named after this process and gone with it. What an earlier, killed run left is removed first. */
async function ownCluster(): Promise<ClusterHandle> {
  const settings = await ownSettings("test");
  if (settings.kubeconfig !== undefined) {
    say(`Using the cluster of KUBECONFIG=${settings.kubeconfig}.`);
    return new ClusterHandle(settings, await existingCluster(settings, settings.kubeconfig, settings.registry));
  }
  return new ClusterHandle(settings, await up(settings, { node: false }, say));
}
