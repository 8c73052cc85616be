import { isFields, stringField } from "../../core/json.ts";
import { KubeError } from "./errors.ts";
import { apiVersionOf } from "./resources.ts";
import type { KubeList, KubeObject, Resource } from "./types.ts";

/**
 * What the API server sent, checked to be an object with a name. Items of lists come without apiVersion and kind, and metadata
 * requests as PartialObjectMetadata: both get the resource's own. The rest of `T` is the API server's validation, which holds for
 * what it stores; readers of foreign kinds narrow further.
 */
export function adopt<T extends KubeObject>(value: unknown, resource: Resource, subject: string): T {
  const metadata = isFields(value) ? value["metadata"] : undefined;
  if (!isFields(value) || !isFields(metadata) || typeof metadata["name"] !== "string") {
    throw new KubeError("MALFORMED", `${subject}: the answer is not a Kubernetes object`);
  }
  return { ...value, apiVersion: apiVersionOf(resource), kind: resource.kind } as unknown as T;
}

/** One page of a list, its items adopted, with the token of the next page when there is one. */
export function adoptPage<T extends KubeObject>(
  value: unknown,
  resource: Resource,
  subject: string,
): KubeList<T> & { readonly next?: string } {
  const items = isFields(value) ? value["items"] : undefined;
  const metadata = isFields(value) ? value["metadata"] : undefined;
  const resourceVersion = stringField(metadata, "resourceVersion");
  // `items: null` is how Go spells an empty list.
  if (!(Array.isArray(items) || items === null) || resourceVersion === undefined) {
    throw new KubeError("MALFORMED", `${subject}: the answer is not a Kubernetes list`);
  }
  const next = stringField(metadata, "continue");
  return {
    items: (items ?? []).map((item: unknown) => adopt<T>(item, resource, subject)),
    resourceVersion,
    ...(next === undefined || next === "" ? {} : { next }),
  };
}
