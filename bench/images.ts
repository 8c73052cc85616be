import { generateKeyPairSync, sign } from "node:crypto";
import type { Digest } from "../core/image/reference.ts";
import { OCI_MANIFEST, SIMPLE_SIGNING } from "../core/registry/media-types.ts";
import { Cosign } from "../test/support/cosign.ts";
import { payloadFor, SIGNATURE } from "../test/support/forging.ts";
import { putBlob, putManifest, sha256, type TestRegistry } from "../test/support/registry.ts";

const IN_PARALLEL = 8;
const CONFIG = Buffer.from(
  JSON.stringify({ architecture: "amd64", os: "linux", config: {}, rootfs: { type: "layers", diff_ids: [] } }),
);
const CONFIG_TYPE = "application/vnd.oci.image.config.v1+json";

/** An image as Pods name it. */
export interface Image {
  /** `registry/repository:v1` */
  readonly tag: string;
  /** `registry/repository@sha256:…` */
  readonly digest: string;
}

/** The images of one run, all of one signer, each in a repository of its own. */
export interface Images {
  readonly publicKey: string;
  /** Nobody signed it. */
  readonly unsigned: Image;
  readonly signed: readonly Image[];
}

/**
 * Pushes `count` signed images and one that is not to the registry at `host`; Pods name them by `proxy`. The signatures are as cosign makes
 * them (simple signing, the tag `sha256-….sig`, no transparency log); the real cosign is asked about one.
 */
export async function makeImages(host: string, proxy: string, count: number): Promise<Images> {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pem = publicKey.export({ type: "spki", format: "pem" }).toString();
  const at = registryAt(host);
  const image = async (name: string, isSigned: boolean): Promise<Image> => {
    const repository = `bench/${name}`;
    const digest = await pushImage(at, repository);
    if (isSigned) await pushSignature(at, repository, digest, (payload) => sign("sha256", payload, privateKey));
    return { tag: `${proxy}/${repository}:v1`, digest: `${proxy}/${repository}@${digest}` };
  };
  const signed: Image[] = [];
  let next = 0;
  const pusher = async () => {
    for (let index = next++; index < count; index = next++)
      signed[index] = await image(`app-${String(index).padStart(4, "0")}`, true);
  };
  await Promise.all(Array.from({ length: IN_PARALLEL }, pusher));
  const unsigned = await image("unsigned", false);
  await check(signed[0], pem);
  return { publicKey: pem, unsigned, signed };
}

/** The cluster's registry, for who pushes to it. */
function registryAt(host: string): TestRegistry {
  return { host, newRequests: () => [], stop: () => Promise.resolve() };
}

async function pushImage(at: TestRegistry, repository: string): Promise<Digest> {
  const digest = await putBlob(at, repository, CONFIG);
  return putManifest(at, repository, "v1", {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: { mediaType: CONFIG_TYPE, digest, size: CONFIG.length },
    layers: [],
    annotations: { "org.opencontainers.image.title": repository },
  });
}

async function pushSignature(
  at: TestRegistry,
  repository: string,
  digest: Digest,
  signer: (payload: Buffer) => Buffer,
): Promise<void> {
  const payload = payloadFor(digest);
  const layer = {
    mediaType: SIMPLE_SIGNING,
    digest: await putBlob(at, repository, payload),
    size: payload.length,
    annotations: { [SIGNATURE]: signer(payload).toString("base64") },
  };
  await putManifest(at, repository, `${digest.replace(":", "-")}.sig`, {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: { mediaType: CONFIG_TYPE, digest: sha256(CONFIG), size: CONFIG.length },
    layers: [layer],
  });
}

/** Rejects with cosign's words if it does not find the signature. */
async function check(image: Image | undefined, publicKey: string): Promise<void> {
  if (image === undefined) return;
  const cosign = await Cosign.create();
  try {
    const key = cosign.file("bench.pub", publicKey);
    await cosign.run("verify", "--key", key, "--insecure-ignore-tlog", "--new-bundle-format=false", image.digest);
  } finally {
    cosign.dispose();
  }
}
