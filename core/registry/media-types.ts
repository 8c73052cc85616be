export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";

/** `Accept` for whatever a tag of an image may name: what the node's runtime asks for, so that both get the same digest. */
export const ACCEPT_IMAGE = [DOCKER_MANIFEST, DOCKER_LIST, OCI_MANIFEST, OCI_INDEX, "*/*"].join(", ");

/** `Accept` for a manifest that has layers: a list would be of no use. */
export const ACCEPT_MANIFEST = [OCI_MANIFEST, DOCKER_MANIFEST].join(", ");

/** cosign's payload of a classic signature. */
export const SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json";

/** cosign's artifact type of classic signatures that are attached as a referrer (`--registry-referrers-mode=oci-1-1`). */
export const COSIGN_SIGNATURE_ARTIFACT = "application/vnd.dev.cosign.artifact.sig.v1+json";

// The four spellings of the bundle's media type: v0.1 to v0.3 with a parameter, and v0.3's own.
const BUNDLE = /^application\/vnd\.dev\.sigstore\.bundle(?:\.v0\.[0-9]\+json|\+json;version=0\.[1-9])$/;

/** Whether a media or artifact type is a Sigstore bundle's (protobuf-specs, `Bundle.media_type`). */
export function isBundleType(type: string): boolean {
  return BUNDLE.test(type);
}
