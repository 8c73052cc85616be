import { type Digest, isDigest } from "../../core/image/reference.ts";
import { fieldsOf, parseJson } from "../../core/json.ts";
import type { Descriptor, Manifest } from "../../core/registry/descriptor.ts";
import { excerpt } from "../../core/registry/excerpt.ts";
import { SIMPLE_SIGNING } from "../../core/registry/media-types.ts";
import { base64, type Candidate, type EvidenceKind, signatureId } from "./candidate.ts";
import { DSSE_ENVELOPE, IN_TOTO } from "./envelope.ts";
import { annotatedMaterial } from "./material.ts";

const SIGNATURE = "dev.cosignproject.cosign/signature";
const CLAIM_TYPE = "cosign container image signature";
const SUFFIX: Readonly<Record<EvidenceKind, string>> = { signature: "sig", attestation: "att" };

/** A signature over a payload that lies elsewhere, and what came with it. */
export interface PayloadSignature {
  readonly signature: Buffer;
  readonly annotations: ReadonlyMap<string, string>;
}

/** A payload to be fetched, and the signatures over it. */
export interface SignedPayload {
  readonly blob: Descriptor;
  readonly signatures: readonly PayloadSignature[];
}

/** The tag under which cosign keeps the signatures of an image (cosign's SIGNATURE_SPEC, "Storage"), or the attestations. */
export function classicTag(kind: EvidenceKind, digest: Digest, prefix = ""): string {
  return `${prefix}${digest.replace(":", "-")}.${SUFFIX[kind]}`;
}

/** The signatures of a classic signature manifest, by payload; the same payload is signed many times. Other layers are not signatures. */
export function signedPayloads(manifest: Manifest): readonly SignedPayload[] {
  const byBlob = new Map<Digest, { blob: Descriptor; signatures: PayloadSignature[] }>();
  for (const layer of manifest.layers) {
    const signature = base64(layer.annotations.get(SIGNATURE) ?? "");
    if (layer.mediaType !== SIMPLE_SIGNING || signature === undefined) continue;
    const entry = byBlob.get(layer.digest) ?? { blob: layer, signatures: [] };
    entry.signatures.push({ signature, annotations: layer.annotations });
    byBlob.set(layer.digest, entry);
  }
  return [...byBlob.values()];
}

/** The layers of a manifest that hold attestations in classic form: envelopes, one each. */
export function attestationLayers(manifest: Manifest): readonly Descriptor[] {
  return manifest.layers.filter(({ mediaType }) => mediaType === DSSE_ENVELOPE || mediaType === IN_TOTO);
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
  signatures: readonly PayloadSignature[],
  payload: Buffer,
  where: string,
  digest: Digest,
): readonly Candidate[] {
  const objection = payloadObjection(payload, digest);
  return signatures.map(({ signature, annotations }) => {
    const material = annotatedMaterial(annotations);
    const id = signatureId(signature, material.certificate);
    return { kind: "signature", id, where, signedBytes: payload, signature, objection, material };
  });
}
