import { eventually } from "../support/kube.ts";
import { attempt, live } from "./byte-stability-objects.ts";
import type { Inheritance } from "./inheritance-harness.ts";

const ROLLED_OUT = "NewReplicaSetAvailable";

/** FAKE, in the place of a kubelet: says of a Deployment's Pods that they run and are ready, until it is available and at rest. */
export async function makeAvailable(at: Inheritance, name: string): Promise<void> {
  const since = new Date().toISOString().replace(/\.\d+Z$/, "Z");
  const conditions = ["ContainersReady", "Ready"].map((type) => ({ type, status: "True", lastTransitionTime: since }));
  const patch = JSON.stringify({ status: { phase: "Running", conditions } });
  const marked = new Set<string>();
  await eventually(`deployment ${name} is available`, async () => {
    for (const { metadata } of await at.list("pods", name)) {
      if (marked.has(metadata.uid)) continue;
      const args = ["patch", "pod", metadata.name, "--subresource=status", "--type=merge", "-p", patch];
      const { code, stderr } = await attempt(at, {}, ...args);
      if (code === 0) marked.add(metadata.uid);
      else if (!stderr.includes("NotFound")) throw new Error(stderr); // replaced meanwhile
    }
    const { metadata, spec, status } = await live(at, `deployment/${name}`);
    const progress = status?.conditions?.find(({ type }) => type === "Progressing") as { reason?: string } | undefined;
    const isCurrent = status?.observedGeneration === metadata.generation && status?.updatedReplicas === spec.replicas;
    return isCurrent && progress?.reason === ROLLED_OUT;
  });
}
