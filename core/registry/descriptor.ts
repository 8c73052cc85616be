import { type Digest, isDigest } from "../image/reference.ts";
import { fieldsOf, parseJson } from "../json.ts";

/** A content descriptor (OCI image specification 1.1), narrowed from whatever a registry sent. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly artifactType?: string;
  readonly annotations: ReadonlyMap<string, string>;
}

/** What is read of a manifest or an index. */
export interface Manifest {
  readonly mediaType?: string;
  readonly artifactType?: string;
  readonly annotations: ReadonlyMap<string, string>;
  readonly layers: readonly Descriptor[];
  readonly manifests: readonly Descriptor[];
}

const TEXT_LIMIT = 256;

function shortText(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" && value.length <= TEXT_LIMIT ? value : undefined;
}

function annotationsOf(value: unknown): ReadonlyMap<string, string> {
  const entries = Object.entries(fieldsOf(value) ?? {});
  return new Map(entries.filter((entry): entry is [string, string] => typeof entry[1] === "string"));
}

/** A descriptor, or undefined if it is malformed or names content by another algorithm than sha256. */
export function descriptorOf(value: unknown): Descriptor | undefined {
  const { mediaType, digest, size, artifactType, annotations } = fieldsOf(value) ?? {};
  const type = shortText(mediaType);
  if (type === undefined || typeof digest !== "string" || !isDigest(digest)) return undefined;
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) return undefined;
  const artifact = shortText(artifactType);
  return {
    mediaType: type,
    digest,
    size,
    annotations: annotationsOf(annotations),
    ...(artifact !== undefined && { artifactType: artifact }),
  };
}

function descriptorsOf(value: unknown): readonly Descriptor[] {
  return Array.isArray(value) ? value.flatMap((item) => descriptorOf(item) ?? []) : [];
}

/**
 * Reads a manifest or an index (OCI or Docker, schema 2). Malformed descriptors are left out: they name nothing that could be
 * fetched. Undefined when the text is no JSON object with `schemaVersion` 2: then it is no manifest at all.
 */
export function parseManifest(text: string): Manifest | undefined {
  const parsed = fieldsOf(parseJson(text));
  if (parsed?.["schemaVersion"] !== 2) return undefined;
  const mediaType = shortText(parsed["mediaType"]);
  const artifactType = shortText(parsed["artifactType"]);
  return {
    annotations: annotationsOf(parsed["annotations"]),
    layers: descriptorsOf(parsed["layers"]),
    manifests: descriptorsOf(parsed["manifests"]),
    ...(mediaType !== undefined && { mediaType }),
    ...(artifactType !== undefined && { artifactType }),
  };
}
