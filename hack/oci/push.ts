import type { BlobStore, Descriptor } from "./store.ts";

export interface PushTarget {
  /** `http://host:port` */
  readonly registry: string;
  readonly repository: string;
  readonly tag: string;
  readonly user?: { readonly username: string; readonly password: string };
}

const TIMEOUT_MS = 60_000;

/** Pushes an image: asks for each blob, uploads what the registry lacks, then the manifest (OCI distribution specification 1.1, "Push"). */
export async function push(
  store: BlobStore,
  image: Descriptor,
  target: PushTarget,
): Promise<{ sent: number; bytes: number }> {
  const { config, layers } = store.manifest(image.digest);
  let sent = 0;
  let bytes = 0;
  for (const blob of [...layers, config]) {
    if (await uploadMissing(store, blob, target)) {
      sent += 1;
      bytes += blob.size;
    }
  }
  const manifest = new URL(`/v2/${target.repository}/manifests/${target.tag}`, target.registry);
  await request(manifest, target, 201, {
    method: "PUT",
    body: bodyOf(store, image.digest),
    headers: { "content-type": image.mediaType },
  });
  return { sent, bytes };
}

async function uploadMissing(store: BlobStore, blob: Descriptor, target: PushTarget): Promise<boolean> {
  const blobs = `/v2/${target.repository}/blobs`;
  const head = await send(new URL(`${blobs}/${blob.digest}`, target.registry), target, { method: "HEAD" });
  if (head.status === 200) return false;
  const started = await request(new URL(`${blobs}/uploads/`, target.registry), target, 202, { method: "POST" });
  const location = started.headers.get("location");
  if (location === null) throw new Error(`${target.registry} started an upload without saying where`);
  const url = new URL(location, target.registry);
  url.searchParams.set("digest", blob.digest);
  const headers = { "content-type": "application/octet-stream" };
  await request(url, target, 201, { method: "PUT", body: bodyOf(store, blob.digest), headers });
  return true;
}

function bodyOf(store: BlobStore, digest: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(store.get(digest));
}

async function request(url: URL, target: PushTarget, wanted: number, init: RequestInit): Promise<Response> {
  const response = await send(url, target, init);
  if (response.status === wanted) return response;
  throw new Error(`${init.method} ${url.origin}${url.pathname}: ${response.status} instead of ${wanted}`);
}

async function send(url: URL, { user }: PushTarget, init: RequestInit): Promise<Response> {
  const headers = new Headers(init.headers);
  if (user)
    headers.set("authorization", `Basic ${Buffer.from(`${user.username}:${user.password}`).toString("base64")}`);
  const response = await fetch(url, { ...init, headers, signal: AbortSignal.timeout(TIMEOUT_MS) });
  await response.body?.cancel();
  return response;
}
