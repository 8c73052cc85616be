import { imageFields, objectAt, workloadKind } from "../admission/workload.ts";
import type { CacheNames } from "../cachenames/types.ts";
import { canonicalName, type ImageReference, parseReference } from "../image/reference.ts";
import { type Fields, stringField } from "../json.ts";
import { subjectOf } from "../policy/named.ts";
import { readNotes } from "../rewrite/annotations.ts";
import { imageKey, ORIGINAL_IMAGES } from "../rewrite/images.ts";
import type { SealedRecords } from "./record.ts";

function parsed(image: string | undefined): ImageReference | undefined {
  try {
    return image === undefined ? undefined : parseReference(image);
  } catch {
    return undefined; // an image that nobody can pull has no record
  }
}

function hasRecord(
  { records, pins }: SealedRecords,
  image: string,
  original: string | undefined,
  names: CacheNames,
): boolean {
  const written = parsed(image);
  const candidates = [
    ...(written === undefined ? [] : [written, subjectOf(written, names)]),
    ...[parsed(original)].filter((name) => name !== undefined),
  ];
  return candidates.some((name) => {
    const digest =
      name.digest ?? pins.get(canonicalName(written ?? name)) ?? pins.get(canonicalName(name)) ?? written?.digest;
    return digest !== undefined && records.has(canonicalName({ ...name, digest }));
  });
}

/**
 * The images that a workload names and its records say nothing about, each once. None for what is no workload. Records are kept under
 * the upstream's names: `names` tells them, or of a Pod whose images were given a cache's, its annotation. Anybody can write that one:
 * good enough to show what there is, and no more.
 */
export function imagesWithoutRecord(object: Fields, sealed: SealedRecords, names: CacheNames): readonly string[] {
  const apiVersion = stringField(object, "apiVersion") ?? "";
  const group = apiVersion.includes("/") ? (apiVersion.split("/", 1)[0] ?? "") : "";
  const kind = workloadKind(group, stringField(object, "kind") ?? "");
  const podSpec = kind && objectAt(object, kind.podSpec);
  if (podSpec === undefined) return [];
  const originals = readNotes(objectAt(object, ["metadata", "annotations"])?.[ORIGINAL_IMAGES]);
  const missing = imageFields(podSpec).filter(
    ({ image, path }) => !hasRecord(sealed, image, originals.get(imageKey(podSpec, path) ?? ""), names),
  );
  return [...new Set(missing.map(({ image }) => image))];
}
