import { type Bundle, bundleFromJSON } from "@sigstore/bundle";
import { HashAlgorithm } from "@sigstore/protobuf-specs";
import type { Digest } from "../../core/image/reference.ts";
import { fieldsOf, parseJson } from "../../core/json.ts";
import { type Candidate, signatureId } from "./candidate.ts";

/** The predicate of cosign's image signatures; bundles with any other are attestations, which say something else. */
export const SIGN_PREDICATE = "https://sigstore.dev/cosign/sign/v1";
const PAYLOAD_TYPE = "application/vnd.in-toto+json";
const STATEMENT_TYPES: readonly unknown[] = ["https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"];

/** What a bundle turns out to be: a signature to verify, something else that is none of ours, or unreadable. */
export type ReadBundle =
  | { readonly kind: "candidate"; readonly candidate: Candidate }
  | { readonly kind: "attestation" }
  | { readonly kind: "garbage"; readonly reason: string };

/** What must be known of the image to read a bundle of it. */
export interface Subject {
  readonly digest: Digest;
  /** The image's manifest: what a message signature signs. Only needed for those. */
  readonly manifest?: Buffer;
}

/** DSSE's pre-authentication encoding (DSSE protocol v1, "Signature Definition"): what is signed, the payload's type included. */
export function preAuthEncoding(payloadType: string, payload: Buffer): Buffer {
  const header = `DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${payload.length} `;
  return Buffer.concat([Buffer.from(header, "utf8"), payload]);
}

function certificateOf(bundle: Bundle): string | undefined {
  const { content } = bundle.verificationMaterial;
  const der =
    content.$case === "certificate"
      ? content.certificate.rawBytes
      : content.$case === "x509CertificateChain"
        ? content.x509CertificateChain.certificates[0]?.rawBytes
        : undefined;
  if (der === undefined) return undefined;
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

/** Why an in-toto statement does not name the image, or undefined: one subject must have exactly its sha256. */
function statementObjection(statement: Readonly<Record<string, unknown>>, digest: Digest): string | undefined {
  const subjects: unknown = statement["subject"];
  const hex = digest.slice("sha256:".length);
  const named =
    Array.isArray(subjects) && subjects.some((subject) => fieldsOf(fieldsOf(subject)?.["digest"])?.["sha256"] === hex);
  return named ? undefined : "it was made for another image (no subject of its statement has this digest)";
}

function fromEnvelope(bundle: Bundle, where: string, { digest }: Subject): ReadBundle | undefined {
  if (bundle.content.$case !== "dsseEnvelope") return undefined;
  const { payload, payloadType, signatures } = bundle.content.dsseEnvelope;
  const signature = signatures[0]?.sig;
  if (payloadType !== PAYLOAD_TYPE) return { kind: "garbage", reason: `the payload is not of type ${PAYLOAD_TYPE}` };
  const statement = fieldsOf(parseJson(payload.toString("utf8")));
  if (statement === undefined || signature === undefined)
    return { kind: "garbage", reason: "the payload is no in-toto statement" };
  if (!STATEMENT_TYPES.includes(statement["_type"]))
    return { kind: "garbage", reason: "the payload is no in-toto statement of a known version" };
  if (statement["predicateType"] !== SIGN_PREDICATE) return { kind: "attestation" };
  const signedBytes = preAuthEncoding(payloadType, payload);
  return {
    kind: "candidate",
    candidate: candidateOf(bundle, where, { signedBytes, signature, objection: statementObjection(statement, digest) }),
  };
}

/** A message signature signs the image's manifest itself, so the image is what was signed or it does not verify. */
function fromMessage(bundle: Bundle, where: string, { digest, manifest }: Subject): ReadBundle | undefined {
  if (bundle.content.$case !== "messageSignature" || manifest === undefined) return undefined;
  const { messageDigest, signature } = bundle.content.messageSignature;
  const sha256 = messageDigest.algorithm === HashAlgorithm.SHA2_256;
  const differs = sha256 && messageDigest.digest.toString("hex") !== digest.slice("sha256:".length);
  const objection = differs ? "it was made for another image (its message digest differs)" : undefined;
  return { kind: "candidate", candidate: candidateOf(bundle, where, { signedBytes: manifest, signature, objection }) };
}

function candidateOf(
  bundle: Bundle,
  where: string,
  rest: Pick<Candidate, "signedBytes" | "signature" | "objection">,
): Candidate {
  return { id: signatureId(rest.signature, certificateOf(bundle)), where, ...rest };
}

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

/**
 * Reads what a bundle claims. Its certificate, transparency log entries and timestamps are of no meaning for an authority that trusts
 * a key: whoever holds the key may write any of them, and policy-controller ignores them without `ctlog` too.
 */
export function readBundle(bundle: Bundle, where: string, subject: Subject): ReadBundle {
  return (
    fromEnvelope(bundle, where, subject) ??
    fromMessage(bundle, where, subject) ?? {
      kind: "garbage",
      reason: "it has neither an envelope nor a signature of the image's manifest",
    }
  );
}
