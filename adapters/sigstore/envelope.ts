import { Envelope } from "@sigstore/protobuf-specs";
import type { Digest } from "../../core/image/reference.ts";
import { type Fields, fieldsOf, parseJson } from "../../core/json.ts";
import { SIGN_PREDICATE } from "../../core/policy/predicates.ts";
import { type Candidate, type Material, signatureId } from "./candidate.ts";

/** The payload type of an envelope that holds an in-toto statement, and the media type of such a statement. */
export const IN_TOTO = "application/vnd.in-toto+json";
/** The media type of an envelope in JSON. */
export const DSSE_ENVELOPE = "application/vnd.dsse.envelope.v1+json";
const STATEMENT_TYPES: readonly unknown[] = ["https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"];
const SIGNATURES = 8;

/** Where an envelope was found. */
export interface FoundAt {
  readonly where: string;
  /** The image's. */
  readonly image: Digest;
  /** Of the layer (or bundle) that holds the envelope. */
  readonly blob: Digest;
}

/** What an envelope turns out to be. */
export type ReadEnvelope =
  | { readonly kind: "candidates"; readonly candidates: readonly Candidate[] }
  | { readonly kind: "unsigned" }
  | { readonly kind: "garbage"; readonly reason: string };

/** DSSE's pre-authentication encoding (DSSE protocol v1, "Signature Definition"): what is signed, the payload's type included. */
export function preAuthEncoding(payloadType: string, payload: Buffer): Buffer {
  const header = `DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${payload.length} `;
  return Buffer.concat([Buffer.from(header, "utf8"), payload]);
}

/** Parses an envelope in JSON; undefined if it is none. */
export function parseEnvelope(bytes: Buffer): Envelope | undefined {
  const parsed = fieldsOf(parseJson(bytes.toString("utf8")));
  if (typeof parsed?.["payload"] !== "string" || typeof parsed["payloadType"] !== "string") return undefined;
  try {
    return Envelope.fromJSON(parsed);
  } catch {
    return undefined;
  }
}

/** Why an in-toto statement does not name the image, or undefined: one subject must have exactly its sha256. */
function objectionTo(statement: Fields, image: Digest): string | undefined {
  const subjects: unknown = statement["subject"];
  const hex = image.slice("sha256:".length);
  const named =
    Array.isArray(subjects) && subjects.some((subject) => fieldsOf(fieldsOf(subject)?.["digest"])?.["sha256"] === hex);
  return named ? undefined : "it was made for another image (no subject of its statement has this digest)";
}

/** Reads the in-toto statement of an envelope: cosign's predicate for signatures makes it a signature, any other an attestation. */
export function readEnvelope(envelope: Envelope, material: Material, { where, image, blob }: FoundAt): ReadEnvelope {
  const { payload, payloadType, signatures } = envelope;
  if (payloadType !== IN_TOTO) return { kind: "garbage", reason: `the payload is not of type ${IN_TOTO}` };
  const json = payload.toString("utf8");
  const statement = fieldsOf(parseJson(json));
  if (statement === undefined) return { kind: "garbage", reason: "the payload is no in-toto statement" };
  const predicateType = statement["predicateType"];
  if (!STATEMENT_TYPES.includes(statement["_type"]) || typeof predicateType !== "string")
    return { kind: "garbage", reason: "the payload is no in-toto statement of a known version" };
  const signed = signatures.filter(({ sig }) => sig.length > 0).slice(0, SIGNATURES);
  if (signed.length === 0) return { kind: "unsigned" };
  const kind = predicateType === SIGN_PREDICATE ? "signature" : "attestation";
  const signedBytes = preAuthEncoding(payloadType, payload);
  const shared = { kind, where, signedBytes, objection: objectionTo(statement, image), material } as const;
  const held = signedBytes.subarray(signedBytes.length - payload.length); // large ones need not be kept twice
  return {
    kind: "candidates",
    candidates: signed.map((one) => ({
      ...shared,
      id: signatureId(one.sig, material.certificate),
      signature: one.sig,
      envelope: { payload: held, payloadType, signatures: [one] },
      ...(kind === "attestation" && { statement: { predicateType, json, digest: blob } }),
    })),
  };
}
