import type { Informer } from "../../adapters/kube/informer.ts";
import { mayRewrite } from "../../core/reachability/reachable.ts";
import type { CacheRegistryObject, CacheRuleObject } from "../../crds/index.ts";
import { specChanged } from "../changes.ts";
import type { WorkQueue } from "../runtime/workqueue.ts";
import type { ConfigMapObject } from "../trustroot/configmap.ts";

/** What of the cluster it depends on whether a registry is watched. */
export interface ReachabilityWorld {
  readonly registries: Informer<CacheRegistryObject>;
  readonly rules: Informer<CacheRuleObject>;
  /** `config-policy-controller` alone. */
  readonly admissionConfig: Informer<ConfigMapObject>;
}

/** Says which registries are due for a look at how they are reached. */
export function connectReachabilityTriggers(world: ReachabilityWorld, queue: Pick<WorkQueue, "add">): void {
  world.admissionConfig.subscribe(() => {
    for (const { metadata } of world.registries.list()) queue.add(metadata.name);
  });

  world.registries.subscribe((change) => {
    if (specChanged(change)) queue.add(change.key);
  });

  world.rules.subscribe(({ before, after }) => {
    const [then, now] = [before, after].map((rule) => rule !== undefined && mayRewrite(rule));
    const rule = after ?? before;
    if (then !== now && rule !== undefined) queue.add(rule.spec.registryRef.name);
  });
}
