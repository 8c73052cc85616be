import { randomBytes } from "node:crypto";
import { OCI_MANIFEST } from "../../../core/registry/media-types.ts";
import type { ExtraRegistry } from "../cluster.ts";
import { putBlob, putManifest, sha256, type TestRegistry } from "../registry.ts";

const CONFIG_TYPE = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip";

/** One image of an upstream, with the name that the cache gives it. */
export interface LoadImage {
  readonly upstream: string;
  /** Its repository there. */
  readonly repository: string;
  /** Its repository in the cache. */
  readonly name: string;
  readonly tag: string;
}

/** What an upstream ever had: the bytes behind every digest, and every digest that a tag ever named. */
export class History {
  readonly #blobs = new Map<string, Buffer>();
  readonly #tags = new Map<string, Set<string>>();

  /** Remembers content; gives its digest. */
  keep(bytes: Buffer): string {
    const digest = sha256(bytes);
    this.#blobs.set(digest, bytes);
    return digest;
  }

  bytesOf(digest: string): Buffer | undefined {
    return this.#blobs.get(digest);
  }

  /** To be called before the tag is pushed: from that moment on a client may see it. */
  name(image: LoadImage, digest: string): void {
    const key = `${image.name}:${image.tag}`;
    const digests = this.#tags.get(key) ?? new Set();
    this.#tags.set(key, digests.add(digest));
  }

  /** The digest of the last layer of what a tag names now. */
  layerOf(image: LoadImage): string {
    const digest = [...(this.#tags.get(`${image.name}:${image.tag}`) ?? [])].at(-1) ?? "";
    const { layers } = JSON.parse(this.#blobs.get(digest)?.toString() ?? "{}") as { layers?: { digest: string }[] };
    return layers?.at(-1)?.digest ?? "";
  }

  wasEver(image: LoadImage, digest: string): boolean {
    return this.#tags.get(`${image.name}:${image.tag}`)?.has(digest) === true;
  }
}

/** A registry of the cluster, as the pushing helpers take it. */
export function pushTarget({ address, user }: ExtraRegistry): TestRegistry {
  return { host: address, ...(user && { user }), newRequests: () => [], stop: async () => undefined };
}

/** Pushes a new image of layers of random bytes under the image's tag, and gives its digest. What was there stays reachable by its own. */
export async function pushImage(
  to: TestRegistry,
  image: LoadImage,
  history: History,
  sizes: readonly number[],
): Promise<string> {
  const config = Buffer.from(
    JSON.stringify({ os: "linux", architecture: "amd64", of: image.name, id: randomBytes(8) }),
  );
  const layers = sizes.map((size) => randomBytes(size));
  const described = (bytes: Buffer, mediaType: string) => ({
    mediaType,
    digest: history.keep(bytes),
    size: bytes.length,
  });
  const manifest = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: described(config, CONFIG_TYPE),
    layers: layers.map((bytes) => described(bytes, LAYER_TYPE)),
  };
  const bytes = Buffer.from(JSON.stringify(manifest));
  const digest = history.keep(bytes);
  history.name(image, digest);
  for (const blob of [config, ...layers]) await putBlob(to, image.repository, blob);
  await putManifest(to, image.repository, image.tag, bytes);
  return digest;
}

/** Calls `work` for every item, `width` at a time. */
export async function inParallel<T>(
  items: readonly T[],
  width: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const rest = items.values();
  const worker = async () => {
    for (const item of rest) await work(item);
  };
  await Promise.all(Array.from({ length: width }, worker));
}
