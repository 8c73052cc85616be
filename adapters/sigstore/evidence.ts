import { messageOf } from "../../core/errors.ts";
import type { Digest } from "../../core/image/reference.ts";
import { type Descriptor, type Manifest, parseManifest } from "../../core/registry/descriptor.ts";
import { excerpt } from "../../core/registry/excerpt.ts";
import { COSIGN_SIGNATURE_ARTIFACT, isBundleType } from "../../core/registry/media-types.ts";
import type { RegistryClient } from "../registry/client.ts";
import { isRegistryError, RegistryError } from "../registry/errors.ts";
import type { Source } from "../registry/requests.ts";
import { isMessageSignature, parseBundle, readBundle, SIGN_PREDICATE } from "./bundle.ts";
import { type Evidence, NOTHING } from "./candidate.ts";
import { classicCandidates, type SignedPayload, signatureTag, signedPayloads } from "./classic.ts";

/** Where to look, for which image. */
export interface Place {
  readonly source: Source;
  readonly digest: Digest;
  readonly tagPrefix?: string;
}

const PAYLOADS = 32; // cosign signs the same payload again and again: more than a few differing ones are unusual
const SIGNATURES = 128;
const REFERRERS = 32;
const PAYLOAD_LIMIT = 64 * 1024; // a payload of cosign has 240 bytes
const BUNDLE_LIMIT = 256 * 1024; // a keyless signature with everything has 10 KiB; attestations are larger, and not read
const AT_ONCE = 4;
const PREDICATE_ANNOTATION = "dev.sigstore.bundle.predicateType";

/** Runs `work` over `items`, four at a time, keeping the order. */
async function inBatches<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<readonly R[]> {
  const results: R[] = [];
  for (let at = 0; at < items.length; at += AT_ONCE) {
    results.push(...(await Promise.all(items.slice(at, at + AT_ONCE).map(work))));
  }
  return results;
}

function merge(parts: readonly Evidence[]): Evidence {
  return { candidates: parts.flatMap(({ candidates }) => candidates), gaps: parts.flatMap(({ gaps }) => gaps) };
}

function gap(why: string): Evidence {
  return { candidates: [], gaps: [why] };
}

/** One part that cannot be read leaves a gap; a caller that gave up ends the whole. */
async function orGap(signal: AbortSignal, read: () => Promise<Evidence>): Promise<Evidence> {
  try {
    return await read();
  } catch (thrown) {
    signal.throwIfAborted();
    if (isRegistryError(thrown)) return gap(messageOf(thrown));
    throw thrown;
  }
}

/** The newest `limit` of a list, and a gap for the rest. Signatures are appended, so the newest are the last. */
function last<T>(
  items: readonly T[],
  limit: number,
  what: string,
): { readonly kept: readonly T[]; readonly gaps: readonly string[] } {
  const gaps = items.length > limit ? [`only ${limit} of ${items.length} ${what} were examined; remove old ones`] : [];
  return { kept: items.slice(-limit), gaps };
}

async function manifestOf(
  client: RegistryClient,
  source: Source,
  reference: string,
  signal: AbortSignal,
): Promise<Manifest> {
  const { bytes } = await client.manifest(source, reference, signal);
  const manifest = parseManifest(bytes.toString("utf8"));
  if (manifest === undefined) {
    throw new RegistryError(
      "RESPONSE_MALFORMED",
      source,
      `the manifest ${excerpt(reference, 160)} cannot be read; sign the image again`,
    );
  }
  return manifest;
}

async function classicOf(
  client: RegistryClient,
  { source, digest }: Place,
  manifest: Manifest,
  where: string,
  signal: AbortSignal,
): Promise<Evidence> {
  const payloads = last(signedPayloads(manifest), PAYLOADS, `different signed payloads of ${where}`);
  const parts = await inBatches(payloads.kept, (payload: SignedPayload) =>
    orGap(signal, async () => {
      const bytes = await client.blob(source, payload.blob.digest, PAYLOAD_LIMIT, signal);
      const newest = last(payload.signatures, SIGNATURES, `signatures of ${where}`);
      const candidates = classicCandidates({ ...payload, signatures: newest.kept }, bytes, where, digest);
      return { candidates, gaps: newest.gaps };
    }),
  );
  return merge([{ candidates: [], gaps: payloads.gaps }, ...parts]);
}

/** Classic signatures: the tag `<prefix>sha256-<hex>.sig`. Throws `RegistryError` if the tag cannot be read. */
export async function classicEvidence(client: RegistryClient, place: Place, signal: AbortSignal): Promise<Evidence> {
  const tag = signatureTag(place.digest, place.tagPrefix);
  try {
    return await classicOf(client, place, await manifestOf(client, place.source, tag, signal), tag, signal);
  } catch (thrown) {
    if (isRegistryError(thrown, "MANIFEST_UNKNOWN", "NAME_UNKNOWN")) return NOTHING;
    throw thrown;
  }
}

async function bundleOf(
  client: RegistryClient,
  { source, digest }: Place,
  layer: Descriptor,
  where: string,
  signal: AbortSignal,
): Promise<Evidence> {
  const bundle = parseBundle(await client.blob(source, layer.digest, BUNDLE_LIMIT, signal));
  if (bundle === undefined) return gap(`${source.registry}/${source.repository}: ${where} is no Sigstore bundle`);
  const manifest = isMessageSignature(bundle) ? (await client.manifest(source, digest, signal)).bytes : undefined;
  const read = readBundle(bundle, where, { digest, ...(manifest !== undefined && { manifest }) });
  switch (read.kind) {
    case "candidate":
      return { candidates: [read.candidate], gaps: [] };
    case "attestation":
      return NOTHING;
    case "garbage":
      return gap(`${source.registry}/${source.repository}: ${where} cannot be read: ${read.reason}`);
  }
}

/** What one referrer holds: bundles, or cosign's signatures in classic form. Attestations that say so are not even fetched. */
async function referrerOf(
  client: RegistryClient,
  place: Place,
  descriptor: Descriptor,
  signal: AbortSignal,
): Promise<Evidence> {
  const manifest = await manifestOf(client, place.source, descriptor.digest, signal);
  const where = `referrer ${descriptor.digest.slice(0, "sha256:".length + 12)}`;
  if ((descriptor.artifactType ?? manifest.artifactType) === COSIGN_SIGNATURE_ARTIFACT) {
    return classicOf(client, place, manifest, where, signal);
  }
  const predicate = manifest.annotations.get(PREDICATE_ANNOTATION);
  const bundles = manifest.layers.filter(({ mediaType }) => isBundleType(mediaType)).slice(0, 1); // a bundle's manifest has one layer
  if (predicate !== undefined && predicate !== SIGN_PREDICATE) return NOTHING;
  return merge(await inBatches(bundles, (layer) => bundleOf(client, place, layer, where, signal)));
}

function isOfInterest({ artifactType, annotations }: Descriptor): boolean {
  const predicate = annotations.get(PREDICATE_ANNOTATION);
  if (predicate !== undefined && predicate !== SIGN_PREDICATE) return false;
  return artifactType === undefined || artifactType === COSIGN_SIGNATURE_ARTIFACT || isBundleType(artifactType);
}

/** Bundles (and cosign's OCI 1.1 signatures) that refer to the image. Throws `RegistryError` if the referrers cannot be listed. */
export async function bundleEvidence(client: RegistryClient, place: Place, signal: AbortSignal): Promise<Evidence> {
  const { descriptors, complete } = await client.referrers(place.source, place.digest, signal);
  const { kept, gaps } = last(descriptors.filter(isOfInterest), REFERRERS, "referrers");
  const parts = await inBatches(kept, (descriptor) =>
    orGap(signal, () => referrerOf(client, place, descriptor, signal)),
  );
  const cut = complete ? [] : ["the registry lists more referrers than are read; remove old ones"];
  return merge([{ candidates: [], gaps: [...gaps, ...cut] }, ...parts]);
}
