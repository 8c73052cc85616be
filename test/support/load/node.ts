import { readdirSync, readFileSync } from "node:fs";
import { tryKill } from "../../../hack/testcluster/processes.ts";
import { eventually, NS, PATIENCE_MS, type Stage } from "../e2e.ts";

interface PodView {
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly status: {
    readonly reason?: string;
    readonly containerStatuses?: readonly { readonly restartCount: number; readonly ready: boolean }[];
  };
}

/** The Pods of one Deployment of a CacheRegistry. */
export async function podsOf(stage: Stage, deployment: string): Promise<readonly PodView[]> {
  const selector = `app.kubernetes.io/instance=${deployment}`;
  const text = await stage.kubectl("-n", NS, "get", "pods", "-l", selector, "-o", "json");
  return (JSON.parse(text) as { items: readonly PodView[] }).items;
}

/** The processes in a Pod's containers but the one that only holds its namespaces. This must run in the node's PID namespace. */
function processesOf(uid: string): readonly number[] {
  const mark = new RegExp(`/pod${uid.replaceAll("-", "[-_]")}/`);
  return readdirSync("/proc").flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return [];
    try {
      const isOfPod = mark.test(readFileSync(`/proc/${entry}/cgroup`, "utf8"));
      return isOfPod && !readFileSync(`/proc/${entry}/cmdline`, "utf8").startsWith("/pause\0") ? [Number(entry)] : [];
    } catch {
      return []; // ended meanwhile
    }
  });
}

/** Which Pods a Deployment has, each with how often its container was started anew. */
export async function lifesOf(stage: Stage, deployment: string): Promise<ReadonlyMap<string, number>> {
  return new Map((await podsOf(stage, deployment)).map((pod) => [pod.metadata.uid, restartsOf(pod)]));
}

function restartsOf({ status }: PodView): number {
  return status.containerStatuses?.[0]?.restartCount ?? 0;
}

/** Kills the process of one Pod of a Deployment with SIGKILL, as the kernel does when memory runs out, and waits until the kubelet has started another in its place. */
export async function crash(stage: Stage, deployment: string): Promise<void> {
  const [victim] = await podsOf(stage, deployment);
  const pids = victim === undefined ? [] : processesOf(victim.metadata.uid);
  if (victim === undefined || pids.length === 0) throw new Error(`no process of Deployment ${deployment} was found`);
  for (const pid of pids) tryKill(pid, "SIGKILL");
  await eventually(`a restart in Pod ${victim.metadata.name}`, PATIENCE_MS, async () => {
    const again = (await podsOf(stage, deployment)).find(({ metadata }) => metadata.uid === victim.metadata.uid);
    return again !== undefined && restartsOf(again) > restartsOf(victim) ? true : undefined;
  });
}

/** Deletes every Pod of a Deployment without grace and waits for others that are ready. */
export async function replacePods(stage: Stage, deployment: string): Promise<void> {
  const before = new Set((await podsOf(stage, deployment)).map(({ metadata }) => metadata.uid));
  await stage.kubectl(
    "-n",
    NS,
    "delete",
    "pods",
    "-l",
    `app.kubernetes.io/instance=${deployment}`,
    "--force",
    "--grace-period=0",
    "--ignore-not-found",
  );
  await newPods(stage, deployment, before);
}

/** Resolves when a ready Pod of the Deployment is there that is none of those. */
async function newPods(stage: Stage, deployment: string, before: ReadonlySet<string>): Promise<void> {
  await eventually(`new Pods of ${deployment}`, PATIENCE_MS, async () => {
    const fresh = (await podsOf(stage, deployment)).filter(({ metadata }) => !before.has(metadata.uid));
    return fresh.some(({ status }) => status.containerStatuses?.every(({ ready }) => ready)) ? true : undefined;
  });
}
