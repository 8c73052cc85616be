import { join } from "node:path";
import { workloadImage } from "../images/workload.ts";
import { push } from "../oci/push.ts";
import { BlobStore, type Compression } from "../oci/store.ts";
import type { Settings } from "./settings.ts";
import { ensureTool } from "./tools.ts";

export interface WorkloadOptions {
  readonly repository: string;
  /** `latest` unless given. */
  readonly tag?: string;
  /** What makes the image's digest its own; a random one unless given. */
  readonly marker?: string;
}

export interface PushedImage {
  /** `registry/repository:tag` */
  readonly reference: string;
  /** `registry/repository@sha256:…` */
  readonly pinned: string;
  readonly digest: string;
}

/** The packed layers of everything that is built here. */
export function blobStore(settings: Settings, compression: Compression = "gzip"): BlobStore {
  return new BlobStore(join(settings.cache, "oci"), compression);
}

/** Pushes an image that does nothing until it is stopped, about 1 MB, to a plain HTTP registry. */
export async function pushWorkload(
  settings: Settings,
  registry: string,
  options: WorkloadOptions & { readonly user?: { readonly username: string; readonly password: string } },
): Promise<PushedImage> {
  const { repository, tag = "latest", marker = crypto.randomUUID(), user } = options;
  const store = blobStore(settings);
  const image = workloadImage(store, await ensureTool(settings, "pause"), marker);
  await push(store, image, { registry: `http://${registry}`, repository, tag, ...(user && { user }) });
  return {
    reference: `${registry}/${repository}:${tag}`,
    pinned: `${registry}/${repository}@${image.digest}`,
    digest: image.digest,
  };
}
