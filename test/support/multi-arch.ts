import { gzipSync } from "node:zlib";
import { type Distribution, digestOf, OCI_INDEX, OCI_MANIFEST } from "../integration/gateway-harness.ts";

export const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
export const DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";
export const SBOM_TYPE = "application/vnd.example.sbom.v1";

/** The media types of one family of images. */
export interface Family {
  readonly index: string;
  readonly manifest: string;
  readonly config: string;
  readonly layer: string;
}

export const OCI: Family = {
  index: OCI_INDEX,
  manifest: OCI_MANIFEST,
  config: "application/vnd.oci.image.config.v1+json",
  layer: "application/vnd.oci.image.layer.v1.tar+gzip",
};

export const DOCKER: Family = {
  index: DOCKER_LIST,
  manifest: DOCKER_MANIFEST,
  config: "application/vnd.docker.container.image.v1+json",
  layer: "application/vnd.docker.image.rootfs.diff.tar.gzip",
};

export const ARCHITECTURES = ["amd64", "arm64"] as const;

interface Part {
  readonly digest: string;
  readonly config: string;
  readonly layer: string;
}

export interface MultiArch {
  /** The index's. */
  readonly digest: string;
  readonly parts: Readonly<Record<(typeof ARCHITECTURES)[number], Part>>;
}

/** A tar archive of one file (POSIX.1-1988 ustar), so that clients can unpack the layer. */
function tarOf(name: string, content: string): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write("0000644\0", 100);
  header.write("0000000\0", 108);
  header.write("0000000\0", 116);
  header.write(`${content.length.toString(8).padStart(11, "0")}\0`, 124);
  header.write("00000000000\0", 136);
  header.write("        ", 148);
  header.write("0ustar\x0000", 156);
  header.write("ustar\x0000", 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  const body = Buffer.alloc(Math.ceil(content.length / 512) * 512);
  body.write(content);
  return Buffer.concat([header, body, Buffer.alloc(1024)]);
}

/** Pushes an image for two architectures that clients can pull, unpack and verify. */
export async function pushMultiArch(
  registry: Distribution,
  repository: string,
  tag: string,
  family: Family = OCI,
): Promise<MultiArch> {
  const part = async (architecture: string): Promise<Part & { size: number }> => {
    const tar = tarOf("hello", `${repository}:${tag} for ${architecture}\n`);
    const layer = gzipSync(tar);
    const config = Buffer.from(
      JSON.stringify({ architecture, os: "linux", config: {}, rootfs: { type: "layers", diff_ids: [digestOf(tar)] } }),
    );
    const manifest = {
      schemaVersion: 2,
      mediaType: family.manifest,
      config: {
        mediaType: family.config,
        digest: await registry.pushBlob(repository, config),
        size: config.length,
      },
      layers: [{ mediaType: family.layer, digest: await registry.pushBlob(repository, layer), size: layer.length }],
    };
    const size = Buffer.byteLength(JSON.stringify(manifest));
    const digest = digestOf(Buffer.from(JSON.stringify(manifest)));
    await registry.pushManifest(repository, digest, manifest, family.manifest);
    return { digest, size, config: manifest.config.digest, layer: manifest.layers[0]?.digest ?? "" };
  };
  const parts = { amd64: await part("amd64"), arm64: await part("arm64") };
  const manifests = ARCHITECTURES.map((architecture) => {
    const { digest, size } = parts[architecture];
    return { mediaType: family.manifest, digest, size, platform: { architecture, os: "linux" } };
  });
  const index = { schemaVersion: 2, mediaType: family.index, manifests };
  return { digest: await registry.pushManifest(repository, tag, index, family.index), parts };
}

/**
 * Pushes an artifact that refers to `subject` and lists it under the subject's referrers tag, as a client must where the registry has no
 * referrers API (distribution specification, "Referrers Tag Schema"). Gives the artifact's digest.
 */
export async function pushReferrer(registry: Distribution, repository: string, subject: string): Promise<string> {
  const empty = Buffer.from("{}");
  const sbom = Buffer.from('{"name":"sbom"}');
  const artifact = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    artifactType: SBOM_TYPE,
    config: {
      mediaType: "application/vnd.oci.empty.v1+json",
      digest: await registry.pushBlob(repository, empty),
      size: empty.length,
    },
    layers: [{ mediaType: SBOM_TYPE, digest: await registry.pushBlob(repository, sbom), size: sbom.length }],
    subject: { mediaType: OCI_INDEX, digest: subject, size: 1 },
  };
  const content = Buffer.from(JSON.stringify(artifact));
  const digest = await registry.pushManifest(repository, digestOf(content), artifact);
  await registry.pushManifest(
    repository,
    subject.replace(":", "-"),
    {
      schemaVersion: 2,
      mediaType: OCI_INDEX,
      manifests: [{ mediaType: OCI_MANIFEST, digest, size: content.length, artifactType: SBOM_TYPE }],
    },
    OCI_INDEX,
  );
  return digest;
}
