import { escapePathComponent, type Operation } from "fast-json-patch";
import { CACHE_ANNOTATION } from "../cache/record.ts";
import { type Fields, fieldsOf } from "../json.ts";

/** An RFC 6901 pointer. */
export function pointer(path: readonly (string | number)[]): string {
  return path.map((part) => `/${escapePathComponent(String(part))}`).join("");
}

/** Operations that set one annotation, or take it away; none where nothing changes. */
export function annotationPatch(object: Fields, value: string | undefined): readonly Operation[] {
  const metadata = fieldsOf(object["metadata"]);
  const annotations = fieldsOf(metadata?.["annotations"]);
  const path = pointer(["metadata", "annotations", CACHE_ANNOTATION]);
  const before = annotations?.[CACHE_ANNOTATION];
  if (before === value) return [];
  if (value === undefined) return [{ op: "remove", path }];
  if (annotations === undefined) {
    return [{ op: "add", path: pointer(["metadata", "annotations"]), value: { [CACHE_ANNOTATION]: value } }];
  }
  return [{ op: before === undefined ? "add" : "replace", path, value }];
}

/** The operation that replaces one image field. */
export function imagePatch(path: readonly (string | number)[], image: string): Operation {
  return { op: "replace", path: pointer(path), value: image };
}
