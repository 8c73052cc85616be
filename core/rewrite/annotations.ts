import type { Operation } from "fast-json-patch";
import { pointer } from "../admission/patch.ts";
import { type Fields, fieldsOf, parseJson } from "../json.ts";
import { NOT_REWRITTEN, ORIGINAL_IMAGES } from "./images.ts";

/** What an annotation says of images, by container or `volumes/<name>`. */
export type Notes = ReadonlyMap<string, string>;

const OURS = [ORIGINAL_IMAGES, NOT_REWRITTEN] as const;

/** Kubernetes' limit for all annotations together (apimachinery `TotalAnnotationSizeLimitB`, 256 KiB), less room for what others add after us. */
const OBJECT_LIMIT = 240 * 1024;

/** Reads an annotation. Anybody can write it: what is no such object is as good as absent. */
export function readNotes(text: unknown): Notes {
  const fields = typeof text === "string" ? fieldsOf(parseJson(text)) : undefined;
  return new Map(
    Object.entries(fields ?? {}).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
  );
}

/** The annotation's text, keys sorted; undefined where there is nothing to say. */
export function writeNotes(notes: Notes): string | undefined {
  const entries = [...notes].sort(([a], [b]) => (a < b ? -1 : 1));
  return notes.size === 0 ? undefined : JSON.stringify(Object.fromEntries(entries));
}

/** Whether `texts` fit on the object beside the annotations that are not ours. */
export function haveRoom(metadata: Fields, ...texts: readonly (string | undefined)[]): boolean {
  const others = Object.entries(fieldsOf(metadata["annotations"]) ?? {}).filter(
    ([name]) => !OURS.some((ours) => ours === name),
  );
  const size = (text: unknown) => (typeof text === "string" ? Buffer.byteLength(text) : 0);
  const used = others.reduce((sum, [name, value]) => sum + size(name) + size(value), 0);
  const wanted = texts.reduce<number>((sum, text) => sum + size(text), 0);
  return used + wanted + size(OURS.join("")) <= OBJECT_LIMIT;
}

/** Operations that leave our annotations as `wanted` says; undefined: absent. None where nothing changes. */
export function annotationOperations(
  metadata: Fields,
  wanted: Readonly<Record<(typeof OURS)[number], string | undefined>>,
): readonly Operation[] {
  const annotations = fieldsOf(metadata["annotations"]);
  const changed = OURS.filter((name) => annotations?.[name] !== wanted[name]);
  const path = ["metadata", "annotations"];
  if (annotations === undefined) {
    const value = Object.fromEntries(changed.map((name) => [name, wanted[name]]));
    return changed.length === 0 ? [] : [{ op: "add", path: pointer(path), value }];
  }
  return changed.map((name): Operation => {
    const at = pointer([...path, name]);
    const value = wanted[name];
    return value === undefined ? { op: "remove", path: at } : { op: "add", path: at, value };
  });
}
