// `make demo`: a whole cluster with the product in it, then the story of story.ts. KEEP=1 leaves the cluster up.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { installPackages, whyNoNode } from "../testcluster/probe.ts";
import { settingsFrom } from "../testcluster/settings.ts";

const root = join(import.meta.dirname, "../..");
const env = { ...process.env, ENTREPOT_CLUSTER: process.env["ENTREPOT_CLUSTER"] ?? "demo" };

function cluster(...args: readonly string[]): number {
  const { status, error } = spawnSync(join(root, "hack/cluster"), args, { stdio: "inherit", cwd: root, env });
  if (error !== undefined) throw error;
  return status ?? 1;
}

const started = performance.now();
// Without a node the product's Pods would stay Pending: the story starts it as processes instead.
installPackages(console.log);
const settings = settingsFrom(env);
const unable = settings.kubeconfig === undefined && (await whyNoNode(settings)) !== undefined;
const noNode = unable || process.argv.includes("--no-node");
let code = cluster("up", ...(noNode ? ["--no-node", "--bare"] : []));
if (code === 0) {
  console.log(`The cluster is up after ${((performance.now() - started) / 1000).toFixed(1)} s.`);
  code = cluster("exec", "--", process.execPath, join(root, "hack/demo/story.ts"));
}
if (process.env["KEEP"] === "1") {
  console.log(
    `\nThe cluster is left up. Look around: ENTREPOT_CLUSTER=${env.ENTREPOT_CLUSTER} ./hack/cluster exec -- kubectl get pods -A`,
  );
} else {
  cluster("down");
}
process.exit(code);
