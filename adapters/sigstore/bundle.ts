import { type Bundle, bundleFromJSON } from "@sigstore/bundle";
import { HashAlgorithm } from "@sigstore/protobuf-specs";
import type { Digest } from "../../core/image/reference.ts";
import { parseJson } from "../../core/json.ts";
import { type Candidate, signatureId } from "./candidate.ts";
import { type FoundAt, type ReadEnvelope, readEnvelope } from "./envelope.ts";
import { bundledMaterial } from "./material.ts";

/** Parses a Sigstore bundle (v0.1 to v0.3); undefined if it is none, by the checks of @sigstore/bundle. */
export function parseBundle(bytes: Buffer): Bundle | undefined {
  try {
    return bundleFromJSON(parseJson(bytes.toString("utf8")));
  } catch {
    return undefined;
  }
}

/** Whether reading the bundle needs the image's manifest. */
export function isMessageSignature(bundle: Bundle): boolean {
  return bundle.content.$case === "messageSignature";
}

function objectionTo(algorithm: HashAlgorithm, signed: Buffer, image: Digest): string | undefined {
  const differs = algorithm === HashAlgorithm.SHA2_256 && signed.toString("hex") !== image.slice("sha256:".length);
  return differs ? "it was made for another image (its message digest differs)" : undefined;
}

/**
 * Reads what a bundle claims: an in-toto statement, or a signature of the image's manifest (`manifest`, only needed for those), so
 * that the image is what was signed or it does not verify. What lies beside (certificate, log entries, timestamps) becomes the
 * candidate's material.
 */
export function readBundle(bundle: Bundle, found: FoundAt, manifest?: Buffer): ReadEnvelope {
  const material = bundledMaterial(bundle);
  if (bundle.content.$case === "dsseEnvelope") {
    const read = readEnvelope(bundle.content.dsseEnvelope, material, found);
    if (read.kind !== "candidates") return read;
    return { kind: "candidates", candidates: read.candidates.map((one) => ({ ...one, bundle: true })) };
  }
  if (manifest === undefined) return { kind: "garbage", reason: "it signs the image's manifest, which is not there" };
  const { messageDigest, signature } = bundle.content.messageSignature;
  const candidate: Candidate = {
    kind: "signature",
    id: signatureId(signature, material.certificate),
    where: found.where,
    signedBytes: manifest,
    signature,
    objection: objectionTo(messageDigest.algorithm, messageDigest.digest, found.image),
    material,
    bundle: true,
  };
  return { kind: "candidates", candidates: [candidate] };
}
