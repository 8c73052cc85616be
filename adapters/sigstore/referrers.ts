import { SIGN_PREDICATE } from "../../core/policy/predicates.ts";
import type { Descriptor } from "../../core/registry/descriptor.ts";
import { COSIGN_SIGNATURE_ARTIFACT, isBundleType } from "../../core/registry/media-types.ts";
import { isMessageSignature, parseBundle, readBundle } from "./bundle.ts";
import { type Evidence, type EvidenceKind, NOTHING } from "./candidate.ts";
import { attestationBytes, classicOf, evidenceOf } from "./evidence.ts";
import { gap, inBatches, last, merge, nameOf, orGap, type Search } from "./gather.ts";

const REFERRERS = 32;
const SIGNATURE_LIMIT = 256 * 1024; // a keyless signature with everything has 10 KiB
const PREDICATE = "dev.sigstore.bundle.predicateType";
const CONTENT = "dev.sigstore.bundle.content";

// Attestations in classic form: by cosign, and as policy-controller looks for them.
const CLASSIC_ATTESTATION = /in-toto|vnd\.dsse\.envelope|vnd\.dev\.cosign\.artifact\.att\./;

function isOfKind(kind: EvidenceKind, annotations: ReadonlyMap<string, string>): boolean {
  const predicate = annotations.get(PREDICATE);
  if (kind === "attestation") return predicate !== SIGN_PREDICATE && annotations.get(CONTENT) !== "message-signature";
  return predicate === undefined || predicate === SIGN_PREDICATE;
}

/** Whether a referrer is worth fetching: annotations and types are hints that spare requests; what lies is not found. */
function isOfInterest(kind: EvidenceKind, { artifactType, annotations }: Descriptor): boolean {
  if (!isOfKind(kind, annotations)) return false;
  if (artifactType === undefined || isBundleType(artifactType)) return true;
  return kind === "signature" ? artifactType === COSIGN_SIGNATURE_ARTIFACT : CLASSIC_ATTESTATION.test(artifactType);
}

async function bundleBytes(search: Search, layer: Descriptor, where: string): Promise<Buffer | Evidence> {
  const { kind, place, reads, signal } = search;
  if (kind === "attestation") return attestationBytes(search, layer, where);
  return reads.blob(place.source, layer.digest, SIGNATURE_LIMIT, signal);
}

async function bundleOf(search: Search, layer: Descriptor, where: string): Promise<Evidence> {
  const { kind, place, reads, signal } = search;
  const bytes = await bundleBytes(search, layer, where);
  if (!Buffer.isBuffer(bytes)) return bytes;
  const bundle = parseBundle(bytes);
  if (bundle === undefined) return gap(`${nameOf(place)}: ${where} is no Sigstore bundle`);
  const ofManifest = isMessageSignature(bundle);
  if (ofManifest && kind === "attestation") return NOTHING;
  const manifest = ofManifest ? await reads.manifestBytes(place.source, place.digest, signal) : undefined;
  return evidenceOf(search, readBundle(bundle, { where, image: place.digest, blob: layer.digest }, manifest), where);
}

/** What one referrer holds: a bundle, or what cosign stores in classic form by the OCI 1.1 way. */
async function referrerOf(search: Search, descriptor: Descriptor): Promise<Evidence> {
  const { kind, place, reads, signal } = search;
  const manifest = await reads.manifest(place.source, descriptor.digest, signal);
  const where = `referrer ${descriptor.digest.slice(0, "sha256:".length + 12)}`;
  if (!isOfKind(kind, manifest.annotations)) return NOTHING;
  const bundle = manifest.layers.find(({ mediaType }) => isBundleType(mediaType)); // a bundle's manifest has one layer
  return bundle === undefined ? classicOf(search, manifest, where) : bundleOf(search, bundle, where);
}

/** What refers to the image, and whether the list of it was read earlier. Throws `RegistryError` if it cannot be listed. */
export async function referringEvidence(
  search: Search,
): Promise<{ readonly evidence: Evidence; readonly remembered: boolean }> {
  const { kind, place, reads, signal } = search;
  const { descriptors, complete, remembered } = await reads.referrers(place.source, place.digest, signal);
  const interesting = descriptors.filter((descriptor) => isOfInterest(kind, descriptor));
  const { kept, gaps } = last(interesting, REFERRERS, "referrers");
  const parts = await inBatches(kept, (descriptor) => orGap(signal, () => referrerOf(search, descriptor)));
  const cut = complete ? [] : ["the registry lists more referrers than are read; remove old ones"];
  return { evidence: merge([gap(...gaps, ...cut), ...parts]), remembered };
}
