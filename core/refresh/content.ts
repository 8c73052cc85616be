import { fieldsOf, parseJson } from "../json.ts";
import { type Descriptor, descriptorOf } from "../registry/descriptor.ts";

/** What a manifest refers to, as far as it has to be pulled with it. */
export interface Content {
  /** Manifests of platforms, of an index. */
  readonly manifests: readonly Descriptor[];
  /** Configuration and layers. */
  readonly blobs: readonly Descriptor[];
}

const ENTRIES = 1_024;

/** Layers that registries do not hold: Windows base layers, fetched from their maker (OCI image specification, "non-distributable"). */
function isForeign(mediaType: string): boolean {
  return mediaType.includes(".nondistributable.") || mediaType.includes(".foreign.");
}

/** All of a list, or undefined when an entry is malformed: an image with a part left out can't be run. */
function descriptors(value: unknown): readonly Descriptor[] | undefined {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value) || value.length > ENTRIES) return undefined;
  const read = value.map(descriptorOf).filter((one) => one !== undefined);
  return read.length === value.length ? read : undefined;
}

/** Reads what an image manifest or an index (OCI or Docker, schema 2) refers to; undefined when it is neither, or malformed. */
export function contentOf(text: string): Content | undefined {
  const parsed = fieldsOf(parseJson(text));
  if (parsed?.["schemaVersion"] !== 2) return undefined;
  const manifests = descriptors(parsed["manifests"]);
  const layers = descriptors(parsed["layers"]);
  const config = descriptors(parsed["config"] === undefined ? undefined : [parsed["config"]]);
  if (manifests === undefined || layers === undefined || config === undefined) return undefined;
  return { manifests, blobs: [...config, ...layers].filter(({ mediaType }) => !isForeign(mediaType)) };
}
