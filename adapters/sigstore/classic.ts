import { type Digest, isDigest } from "../../core/image/reference.ts";
import { fieldsOf, parseJson } from "../../core/json.ts";
import type { Descriptor, Manifest } from "../../core/registry/descriptor.ts";
import { excerpt } from "../../core/registry/excerpt.ts";
import { SIMPLE_SIGNING } from "../../core/registry/media-types.ts";
import { base64, type Candidate, signatureId } from "./candidate.ts";

const SIGNATURE = "dev.cosignproject.cosign/signature";
const CERTIFICATE = "dev.sigstore.cosign/certificate";
const CLAIM_TYPE = "cosign container image signature";

/** A payload to be fetched, and the signatures over it. */
export interface SignedPayload {
  readonly blob: Descriptor;
  readonly signatures: readonly { readonly signature: Buffer; readonly certificate?: string }[];
}

/** The tag under which cosign keeps the signatures of an image (cosign's SIGNATURE_SPEC, "Storage"). */
export function signatureTag(digest: Digest, prefix = ""): string {
  return `${prefix}${digest.replace(":", "-")}.sig`;
}

/** The signatures of a classic signature manifest, by payload; the same payload is signed many times. Other layers are not signatures. */
export function signedPayloads(manifest: Manifest): readonly SignedPayload[] {
  const byBlob = new Map<Digest, { blob: Descriptor; signatures: { signature: Buffer; certificate?: string }[] }>();
  for (const layer of manifest.layers) {
    const signature = base64(layer.annotations.get(SIGNATURE) ?? "");
    if (layer.mediaType !== SIMPLE_SIGNING || signature === undefined) continue;
    const certificate = layer.annotations.get(CERTIFICATE);
    const entry = byBlob.get(layer.digest) ?? { blob: layer, signatures: [] };
    entry.signatures.push({ signature, ...(certificate !== undefined && { certificate }) });
    byBlob.set(layer.digest, entry);
  }
  return [...byBlob.values()];
}

/**
 * Why a simple-signing payload is no claim about `digest`, or undefined. `critical.type` and `critical.image.docker-manifest-digest`
 * decide; `critical.identity.docker-reference` and `optional` are not trusted with anything, as in cosign.
 */
export function payloadObjection(payload: Buffer, digest: Digest): string | undefined {
  const critical = fieldsOf(fieldsOf(parseJson(payload.toString("utf8")))?.["critical"]);
  if (critical === undefined) return "its payload is no simple-signing document";
  if (critical["type"] !== CLAIM_TYPE) return `its payload is not of the type "${CLAIM_TYPE}"`;
  const claimed = fieldsOf(critical["image"])?.["docker-manifest-digest"];
  if (claimed === digest) return undefined;
  const shown = typeof claimed === "string" && isDigest(claimed) ? claimed : excerpt(String(claimed), 80);
  return `it was made for another image (${shown})`;
}

/** The candidates of one fetched payload. */
export function classicCandidates(
  { signatures }: SignedPayload,
  payload: Buffer,
  where: string,
  digest: Digest,
): readonly Candidate[] {
  const objection = payloadObjection(payload, digest);
  return signatures.map(({ signature, certificate }) => ({
    id: signatureId(signature, certificate),
    where,
    signedBytes: payload,
    signature,
    objection,
  }));
}
