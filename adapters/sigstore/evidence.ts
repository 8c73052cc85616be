import type { Descriptor, Manifest } from "../../core/registry/descriptor.ts";
import { isRegistryError } from "../registry/errors.ts";
import { type Evidence, NOTHING } from "./candidate.ts";
import { attestationLayers, classicCandidates, classicTag, type SignedPayload, signedPayloads } from "./classic.ts";
import { IN_TOTO, parseEnvelope, type ReadEnvelope, readEnvelope } from "./envelope.ts";
import { gap, inBatches, last, merge, nameOf, orGap, type Search } from "./gather.ts";
import { annotatedMaterial } from "./material.ts";

const PAYLOADS = 32; // cosign signs the same payload again and again: more than a few differing ones are unusual
const SIGNATURES = 128;
const ATTESTATIONS = 64;
const PAYLOAD_LIMIT = 64 * 1024; // a payload of cosign has 240 bytes
const MIB = 1024 * 1024;

/** The largest attestation that is read: an SBOM of tens of thousands of packages. */
export const ATTESTATION_LIMIT = 16 * MIB;
/** How many bytes of attestations one search reads in all. */
export const ATTESTATIONS_LIMIT = 32 * MIB;

async function signaturesOf(search: Search, manifest: Manifest, where: string): Promise<Evidence> {
  const { place, reads, signal } = search;
  const payloads = last(signedPayloads(manifest), PAYLOADS, `different signed payloads of ${where}`);
  const parts = await inBatches(payloads.kept, ({ blob, signatures }: SignedPayload) =>
    orGap(signal, async () => {
      const bytes = await reads.blob(place.source, blob.digest, PAYLOAD_LIMIT, signal);
      const newest = last(signatures, SIGNATURES, `signatures of ${where}`);
      const candidates = classicCandidates(newest.kept, bytes, where, place.digest);
      return { ...NOTHING, candidates, gaps: newest.gaps };
    }),
  );
  return merge([gap(...payloads.gaps), ...parts]);
}

/** What an envelope or bundle gave, as far as it is of the kind that is searched for. */
export function evidenceOf({ kind, place }: Search, read: ReadEnvelope, where: string): Evidence {
  switch (read.kind) {
    case "candidates":
      return { ...NOTHING, candidates: read.candidates.filter((candidate) => candidate.kind === kind) };
    case "unsigned":
      return { ...NOTHING, refusals: [`${where}: it is not signed`] };
    case "garbage":
      return gap(`${nameOf(place)}: ${where} cannot be read: ${read.reason}`);
  }
}

/** The bytes of an attestation, or why they are not read. */
export async function attestationBytes(search: Search, layer: Descriptor, where: string): Promise<Buffer | Evidence> {
  const { place, reads, budget, signal } = search;
  if (layer.size > ATTESTATION_LIMIT)
    return gap(`${nameOf(place)}: ${where} has ${layer.size} bytes, more than the ${ATTESTATION_LIMIT} that are read`);
  if (!budget.take(layer.size))
    return gap(
      `${nameOf(place)}: there are more than ${ATTESTATIONS_LIMIT} bytes of attestations; ${where} was not read`,
    );
  return reads.blob(place.source, layer.digest, layer.size, signal);
}

async function attestationOf(search: Search, layer: Descriptor, where: string): Promise<Evidence> {
  const bytes = await attestationBytes(search, layer, where);
  if (!Buffer.isBuffer(bytes)) return bytes;
  const envelope = parseEnvelope(bytes);
  if (envelope !== undefined) {
    const found = { where, image: search.place.digest, blob: layer.digest };
    return evidenceOf(search, readEnvelope(envelope, annotatedMaterial(layer.annotations), found), where);
  }
  // BuildKit stores bare statements under this type.
  if (layer.mediaType === IN_TOTO) return { ...NOTHING, refusals: [`${where}: it is not signed`] };
  return gap(`${nameOf(search.place)}: ${where} is no DSSE envelope`);
}

/** What a manifest holds in classic form: signatures of a payload, or attestations in envelopes. */
export async function classicOf(search: Search, manifest: Manifest, where: string): Promise<Evidence> {
  if (search.kind === "signature") return signaturesOf(search, manifest, where);
  const layers = last(attestationLayers(manifest), ATTESTATIONS, `attestations of ${where}`);
  const parts = await inBatches(layers.kept, (layer: Descriptor) =>
    orGap(search.signal, () => attestationOf(search, layer, where)),
  );
  return merge([gap(...layers.gaps), ...parts]);
}

/** What lies under the classic tag `<prefix>sha256-<hex>.sig` (or `.att`). Throws `RegistryError` if the tag cannot be read. */
export async function taggedEvidence(search: Search): Promise<Evidence> {
  const { kind, place, reads, signal } = search;
  const tag = classicTag(kind, place.digest, place.tagPrefix);
  try {
    return await classicOf(search, await reads.tagged(place.source, tag, signal), tag);
  } catch (thrown) {
    if (isRegistryError(thrown, "MANIFEST_UNKNOWN", "NAME_UNKNOWN")) return NOTHING;
    throw thrown;
  }
}
