import type { Digest } from "../../../core/image/reference.ts";
import { OCI_INDEX, OCI_MANIFEST } from "../../../core/registry/media-types.ts";
import { getManifest, putBlob, putManifest, sha256, type TestRegistry } from "../registry.ts";

const BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json";
const EMPTY = Buffer.from("{}");

/** Stores a Sigstore bundle as what refers to an image, in place of all that did (OCI 1.1, by the tag that registries without an API for it have). */
export async function pushBundle(
  registry: TestRegistry,
  repository: string,
  subject: Digest,
  bundle: object,
): Promise<void> {
  const content = Buffer.from(JSON.stringify(bundle));
  await Promise.all([putBlob(registry, repository, content), putBlob(registry, repository, EMPTY)]);
  const image = await getManifest(registry, repository, subject);
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      artifactType: BUNDLE,
      config: { mediaType: "application/vnd.oci.empty.v1+json", digest: sha256(EMPTY), size: EMPTY.length },
      layers: [{ mediaType: BUNDLE, digest: sha256(content), size: content.length }],
      subject: { mediaType: OCI_MANIFEST, digest: subject, size: image.length },
    }),
  );
  const digest = await putManifest(registry, repository, sha256(manifest), manifest);
  const index = {
    schemaVersion: 2,
    mediaType: OCI_INDEX,
    manifests: [{ mediaType: OCI_MANIFEST, artifactType: BUNDLE, digest, size: manifest.length }],
  };
  await putManifest(registry, repository, subject.replace(":", "-"), index, OCI_INDEX);
}
