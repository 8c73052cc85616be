import { imageFields, objectAt, workloadKind } from "../admission/workload.ts";
import { canonicalName, parseReference } from "../image/reference.ts";
import { type Fields, stringField } from "../json.ts";
import type { SealedRecords } from "./record.ts";

function recordName(image: string, { pins }: SealedRecords): string | undefined {
  try {
    const reference = parseReference(image);
    const digest = reference.digest ?? pins.get(canonicalName(reference));
    return digest === undefined ? undefined : canonicalName({ ...reference, digest });
  } catch {
    return undefined; // an image that nobody can pull has no record
  }
}

/** The images that a workload names and its records say nothing about, each once. None for what is no workload. */
export function imagesWithoutRecord(object: Fields, sealed: SealedRecords): readonly string[] {
  const apiVersion = stringField(object, "apiVersion") ?? "";
  const group = apiVersion.includes("/") ? (apiVersion.split("/", 1)[0] ?? "") : "";
  const kind = workloadKind(group, stringField(object, "kind") ?? "");
  const podSpec = kind && objectAt(object, kind.podSpec);
  if (podSpec === undefined) return [];
  const images = new Set(imageFields(podSpec).map(({ image }) => image));
  return [...images].filter((image) => !sealed.records.has(recordName(image, sealed) ?? ""));
}
