import type { Informer } from "../../adapters/kube/informer.ts";
import type { Change } from "../../adapters/kube/store.ts";
import type { TrustRootObject } from "../../crds/index.ts";
import type { WorkQueue } from "../runtime/workqueue.ts";
import type { ConfigMapObject } from "./configmap.ts";

/** What of the cluster the trust roots depend on. */
export interface TrustWorld {
  readonly trustRoots: Informer<TrustRootObject>;
  /** `config-sigstore-keys` alone. */
  readonly sigstoreKeys: Informer<ConfigMapObject>;
  /** `public-good-trusted-root` alone. */
  readonly publicGoodRoot: Informer<ConfigMapObject>;
}

type Queue = Pick<WorkQueue, "add">;

/** The names whose entries differ; all of them when only what is noted beside them does. */
function touched({ before, after }: Change<ConfigMapObject>): readonly string[] {
  const names = [...new Set([...Object.keys(before?.data ?? {}), ...Object.keys(after?.data ?? {})])];
  const changed = names.filter((name) => before?.data?.[name] !== after?.data?.[name]);
  return changed.length > 0 ? changed : names;
}

/** Says which TrustRoots are due when they, or what was written for them, change. */
export function connectTrustTriggers(world: TrustWorld, queues: { trustRoots: Queue; publicGood: Queue }): void {
  world.trustRoots.subscribe(({ key }) => queues.trustRoots.add(key));
  // Names without a TrustRoot too: that is how what was deleted while nobody led is tidied up.
  world.sigstoreKeys.subscribe((change) => {
    for (const name of touched(change)) queues.trustRoots.add(name);
  });
  world.publicGoodRoot.subscribe(() => queues.publicGood.add("singleton"));
  queues.publicGood.add("singleton");
}
