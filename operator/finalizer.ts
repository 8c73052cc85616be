import { isKubeError } from "../adapters/kube/errors.ts";
import type { KubeClient, KubeObject, Resource } from "../adapters/kube/types.ts";
import { FINALIZER } from "../crds/index.ts";

type Patch = Pick<KubeClient, "mergePatch">;

async function write(
  client: Patch,
  resource: Resource,
  object: KubeObject,
  finalizers: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  // A merge patch replaces the list: with the version it was read at, or another's finalizer could be lost. CONFLICT is tried again.
  const { name, resourceVersion } = object.metadata;
  await client.mergePatch(resource, name, { metadata: { resourceVersion, finalizers } }, { signal });
}

/** Whether the object is held until what was made for it is gone. */
export function isHeld(object: KubeObject): boolean {
  return object.metadata.finalizers?.includes(FINALIZER) ?? false;
}

/** Holds the object: from now on its deletion waits for `release`. */
export async function hold(client: Patch, resource: Resource, object: KubeObject, signal: AbortSignal): Promise<void> {
  if (!isHeld(object))
    await write(client, resource, object, [...(object.metadata.finalizers ?? []), FINALIZER], signal);
}

/** Takes a finalizer off a deleted object; nothing to do if it has none of that name, or is gone. */
export async function letGo(
  client: Patch,
  resource: Resource,
  object: KubeObject,
  finalizer: string,
  signal: AbortSignal,
): Promise<void> {
  const { finalizers = [] } = object.metadata;
  if (!finalizers.includes(finalizer)) return;
  const others = finalizers.filter((other) => other !== finalizer);
  await write(client, resource, object, others, signal).catch((thrown: unknown) => {
    if (!isKubeError(thrown, "NOT_FOUND")) throw thrown;
  });
}

/** Lets a deleted object go. Call it only after checking that what was made for it is gone. */
export async function release(
  client: Patch,
  resource: Resource,
  object: KubeObject,
  signal: AbortSignal,
): Promise<void> {
  await letGo(client, resource, object, FINALIZER, signal);
}
