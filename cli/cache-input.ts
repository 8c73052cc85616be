import { loadAll } from "js-yaml";
import { cacheAnnotation } from "../core/admission/request.ts";
import { printable } from "../core/cache/view.ts";
import { type Fields, fieldsOf, stringField } from "../core/json.ts";

/** One thing to verify: an object's annotation (undefined if it has none), or an annotation alone. */
export interface Sample {
  readonly name: string;
  readonly annotation: string | undefined;
}

const BARE = /\nsignature: [^\n]*\n*$/;
const OBJECT_LIMIT = 10_000;

/** How an object is called in messages: kind, namespace and name. */
export function nameOf(object: Fields): string {
  const { namespace, name } = {
    namespace: stringField(object["metadata"], "namespace"),
    name: stringField(object["metadata"], "name"),
  };
  const path = namespace === undefined ? (name ?? "") : `${namespace}/${name ?? ""}`;
  return printable(`${stringField(object, "kind") ?? "object"} ${path}`);
}

function objectsIn(value: unknown): readonly Fields[] {
  const object = fieldsOf(value);
  if (object === undefined || stringField(object, "kind") === undefined) return [];
  const { items } = object;
  return Array.isArray(items) ? items.flatMap(objectsIn) : [object];
}

function documentsIn(text: string): readonly unknown[] {
  try {
    return loadAll(text, { maxAliases: 10 });
  } catch {
    return []; // no YAML, no object: an annotation at best
  }
}

/**
 * What stands in `text`: a bare annotation, or objects in YAML or JSON, alone, in several documents or in Lists. What is no object is
 * taken for an annotation, which then does not open. Throws when there are too many.
 */
export function samplesIn(text: string): readonly Sample[] {
  if (BARE.test(text)) return [{ name: "annotation", annotation: text }];
  const objects = documentsIn(text).flatMap(objectsIn);
  if (objects.length === 0) return [{ name: "annotation", annotation: text }];
  if (objects.length > OBJECT_LIMIT) throw new Error(`more than ${OBJECT_LIMIT} objects: verify them in portions`);
  return objects.map((object) => ({ name: nameOf(object), annotation: cacheAnnotation(object["metadata"]) }));
}
