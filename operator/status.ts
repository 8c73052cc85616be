import { isDeepStrictEqual } from "node:util";
import type { KubeClient, KubeObject, Resource } from "../adapters/kube/types.ts";

interface WithStatus extends KubeObject {
  readonly status?: object;
}

function plain(status: object | undefined): unknown {
  const copy: unknown = JSON.parse(JSON.stringify(status ?? {}));
  const conditions = (copy as { conditions?: unknown }).conditions;
  if (Array.isArray(conditions))
    conditions.sort((a: { type: string }, b: { type: string }) => (a.type < b.type ? -1 : 1));
  return copy;
}

/** Whether two statuses say the same; the order of conditions means nothing. */
export function sameStatus(a: object | undefined, b: object | undefined): boolean {
  return isDeepStrictEqual(plain(a), plain(b));
}

/**
 * Writes the status of `object` if it differs from the one that `object` has, and says whether it did. The API server does not hold a
 * status to the uid that goes along: a namesake made in this moment has it until its own first reconcile.
 */
export async function writeStatus(
  client: Pick<KubeClient, "applyStatus">,
  resource: Resource,
  object: WithStatus,
  status: object,
  signal: AbortSignal,
): Promise<boolean> {
  if (sameStatus(object.status, status)) return false;
  const { name, namespace, uid } = object.metadata;
  const metadata = { name, ...(namespace !== undefined && { namespace }), ...(uid !== undefined && { uid }) };
  const { apiVersion, kind } = object;
  await client.applyStatus<WithStatus>(resource, { apiVersion, kind, metadata, status }, { signal });
  return true;
}
