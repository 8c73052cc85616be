import type { Envelope } from "@sigstore/protobuf-specs";
import { pem, sha256, spki } from "./forged-certificates.ts";
import type { Body } from "./forged-log.ts";

/** What an entry is made of. */
export interface Logged {
  readonly signature: Buffer;
  readonly signedBytes: Buffer;
  readonly envelope?: Envelope;
  /** Certificate in DER, or a public key. */
  readonly verifier: Buffer | Parameters<typeof spki>[0];
}

/** The kinds and versions of entries that Rekor makes of signatures. */
export type EntryKind =
  | "hashedrekord 0.0.1"
  | "hashedrekord 0.0.2"
  | "dsse 0.0.1"
  | "dsse 0.0.2"
  | "intoto 0.0.1"
  | "intoto 0.0.2";

const b64 = (bytes: Buffer | string): string => Buffer.from(bytes).toString("base64");
const hexHash = (bytes: Buffer): object => ({ algorithm: "sha256", value: sha256(bytes).toString("hex") });
const b64Hash = (bytes: Buffer): object => ({ algorithm: "SHA2_256", digest: b64(sha256(bytes)) });

/** The envelope as Go writes it. */
export function envelopeText({ payloadType, payload, signatures }: Envelope): string {
  const signed = signatures.map(({ keyid, sig }) => `{"keyid":"${keyid}","sig":"${b64(sig)}"}`);
  return `{"payloadType":"${payloadType}","payload":"${b64(payload)}","signatures":[${signed.join()}]}`;
}

function verifierPem({ verifier }: Logged): string {
  if (Buffer.isBuffer(verifier)) return b64(pem(verifier));
  return b64(pem(spki(verifier)).replaceAll("CERTIFICATE", "PUBLIC KEY"));
}

function verifierMessage({ verifier }: Logged): object {
  return Buffer.isBuffer(verifier)
    ? { x509Certificate: { rawBytes: b64(verifier) }, keyDetails: "PKIX_ECDSA_P256_SHA_256" }
    : { publicKey: { rawBytes: b64(spki(verifier)) }, keyDetails: "PKIX_ECDSA_P256_SHA_256" };
}

/** The specification of an entry, as Rekor's schema of that kind has it. */
function specOf(kind: EntryKind, logged: Logged): object {
  const { signature, signedBytes, envelope } = logged;
  const payload = envelope?.payload ?? Buffer.alloc(0);
  const text = Buffer.from(envelope === undefined ? "" : envelopeText(envelope));
  switch (kind) {
    case "hashedrekord 0.0.1":
      return {
        data: { hash: hexHash(signedBytes) },
        signature: { content: b64(signature), publicKey: { content: verifierPem(logged) } },
      };
    case "hashedrekord 0.0.2":
      return {
        hashedRekordV002: {
          data: b64Hash(signedBytes),
          signature: { content: b64(signature), verifier: verifierMessage(logged) },
        },
      };
    case "dsse 0.0.1":
      return {
        envelopeHash: hexHash(text),
        payloadHash: hexHash(payload),
        signatures: [{ signature: b64(signature), verifier: verifierPem(logged) }],
      };
    case "dsse 0.0.2":
      return {
        dsseV002: {
          payloadHash: b64Hash(payload),
          signatures: [{ content: b64(signature), verifier: verifierMessage(logged) }],
        },
      };
    case "intoto 0.0.1":
      return { content: { hash: hexHash(text), payloadHash: hexHash(payload) }, publicKey: verifierPem(logged) };
    case "intoto 0.0.2":
      return {
        content: {
          envelope: {
            payloadType: envelope?.payloadType,
            signatures: [{ sig: b64(b64(signature)), publicKey: verifierPem(logged) }],
          },
          hash: hexHash(text),
          payloadHash: hexHash(payload),
        },
      };
  }
}

/** The body of a log entry about a signature. */
export function bodyOf(entryKind: EntryKind, logged: Logged): Body {
  const [kind = "", apiVersion = ""] = entryKind.split(" ");
  return { kind, apiVersion, spec: specOf(entryKind, logged) };
}
