import type { Change } from "../adapters/kube/store.ts";
import type { KubeObject } from "../adapters/kube/types.ts";

/** Whether an object was made, deleted, marked for deletion or got another spec: what its neighbours may care about, unlike its status. */
export function specChanged({ before, after }: Change<KubeObject>): boolean {
  return (
    before === undefined ||
    after === undefined ||
    before.metadata.uid !== after.metadata.uid ||
    before.metadata.generation !== after.metadata.generation ||
    before.metadata.deletionTimestamp !== after.metadata.deletionTimestamp
  );
}
