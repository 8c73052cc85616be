import type { FetchedManifest } from "../../adapters/registry/content.ts";
import { RegistryError } from "../../adapters/registry/errors.ts";
import type { Puller } from "../../adapters/registry/puller.ts";
import type { Source } from "../../adapters/registry/requests.ts";
import type { Digest } from "../../core/image/reference.ts";
import { contentOf } from "../../core/refresh/content.ts";

/** What was pulled. */
export interface Pulled {
  readonly digest: Digest;
  /** Of configuration and layers, each once. */
  readonly bytes: number;
  /** Of those, what was read now and not for another image before. */
  readonly readBytes: number;
}

const MANIFESTS = 256; // of one image: platforms, their attestations, indexes in indexes
const DEPTH = 3;

interface Walk {
  readonly puller: Puller;
  readonly source: Source;
  readonly signal: AbortSignal;
  /** Blobs that were read already, in the form `repository@digest`. */
  readonly seen: Set<string>;
  readonly blobs: Map<Digest, number>;
  readonly manifests: Set<Digest>;
  readBytes: number;
}

function refused(source: Source, why: string): RegistryError {
  return new RegistryError("RESPONSE_MALFORMED", source, why);
}

async function readBlob(walk: Walk, digest: Digest, size: number): Promise<void> {
  const { puller, source, signal, seen, blobs } = walk;
  blobs.set(digest, size);
  const name = `${source.repository}@${digest}`;
  if (seen.has(name)) return;
  await puller.verifyBlob(source, digest, size, signal);
  seen.add(name);
  walk.readBytes += size;
}

async function readTree(walk: Walk, manifest: FetchedManifest, depth: number): Promise<void> {
  const { puller, source, signal, manifests } = walk;
  const content = contentOf(manifest.bytes.toString("utf8"));
  if (content === undefined)
    throw refused(
      source,
      `${manifest.digest} is neither an image nor an index that can be read whole; look at it upstream`,
    );
  if (content.manifests.length > 0 && depth >= DEPTH)
    throw refused(source, `${manifest.digest} has indexes in indexes; it is not fetched ahead`);
  for (const { digest, size } of content.blobs) await readBlob(walk, digest, size);
  for (const { digest } of content.manifests) {
    if (manifests.has(digest)) continue;
    if (manifests.size >= MANIFESTS)
      throw refused(source, `the image has more than ${MANIFESTS} manifests; it is not fetched ahead`);
    manifests.add(digest);
    await readTree(walk, await puller.manifest(source, digest, signal), depth + 1);
  }
}

/**
 * Pulls an image whole: its manifest by tag or digest, those of all platforms, configurations and layers, each byte checked against its
 * digest and forgotten. What is in `seen` is not read again, and what was read is added. Throws `RegistryError`.
 */
export async function pullImage(
  puller: Puller,
  source: Source,
  reference: string,
  seen: Set<string>,
  signal: AbortSignal,
): Promise<Pulled> {
  const top = await puller.manifest(source, reference, signal);
  const walk: Walk = { puller, source, signal, seen, blobs: new Map(), manifests: new Set([top.digest]), readBytes: 0 };
  await readTree(walk, top, 0);
  const bytes = [...walk.blobs.values()].reduce((sum, size) => sum + size, 0);
  return { digest: top.digest, bytes, readBytes: walk.readBytes };
}
