import type { Bundle } from "@sigstore/bundle";
import type { TransparencyLogEntry } from "@sigstore/protobuf-specs";
import { type Fields, fieldsOf, parseJson, stringField } from "../../core/json.ts";
import { base64, type Material } from "./candidate.ts";

const CERTIFICATE = "dev.sigstore.cosign/certificate";
const CHAIN = "dev.sigstore.cosign/chain";
const LOG_BUNDLE = "dev.sigstore.cosign/bundle";
const TIMESTAMP = "dev.sigstore.cosign/rfc3161timestamp";
const MOST = 16; // of each kind: a signature has one log entry, one timestamp and three certificates

/** The certificates of a PEM text, DER, in order; what is no certificate is left out. */
function pemCertificates(text: string): readonly Buffer[] {
  const blocks = text.matchAll(/-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/g);
  return [...blocks].slice(0, MOST).flatMap(([, body = ""]) => base64(body.replace(/\s+/g, "")) ?? []);
}

function integer(value: unknown): string | undefined {
  return typeof value === "number" && Number.isSafeInteger(value) ? String(value) : undefined;
}

function logPayload(payload: Fields): Omit<TransparencyLogEntry, "inclusionPromise" | "inclusionProof"> | undefined {
  const body = base64(stringField(payload, "body") ?? "");
  const logId = stringField(payload, "logID") ?? "";
  const logIndex = integer(payload["logIndex"]);
  const integratedTime = integer(payload["integratedTime"]);
  const entry = body === undefined ? undefined : parseJson(body.toString("utf8"));
  const [kind, version] = [stringField(entry, "kind"), stringField(entry, "apiVersion")];
  if (body === undefined || logIndex === undefined || integratedTime === undefined) return undefined;
  if (kind === undefined || version === undefined || !/^[0-9a-f]{64}$/i.test(logId)) return undefined;
  const keyId = Buffer.from(logId, "hex");
  return { logIndex, integratedTime, logId: { keyId }, kindVersion: { kind, version }, canonicalizedBody: body };
}

/** cosign's `RekorBundle` (Go's spelling of the fields) as an entry of protobuf-specs; undefined if it is none. */
function logEntry(annotation: string): TransparencyLogEntry | undefined {
  const parsed = fieldsOf(parseJson(annotation));
  const promise = base64(stringField(parsed, "SignedEntryTimestamp") ?? "");
  const payload = logPayload(fieldsOf(parsed?.["Payload"]) ?? {});
  if (promise === undefined || payload === undefined) return undefined;
  return { ...payload, inclusionPromise: { signedEntryTimestamp: promise }, inclusionProof: undefined };
}

/**
 * What cosign keeps in the annotations of a classic layer. What cannot be read is left out: whoever needs it finds it missing, and
 * whoever does not (a key, without a log) need not care.
 */
export function annotatedMaterial(annotations: ReadonlyMap<string, string>): Material {
  const [certificate] = pemCertificates(annotations.get(CERTIFICATE) ?? "");
  const entry = logEntry(annotations.get(LOG_BUNDLE) ?? "");
  const timestamp = base64(stringField(parseJson(annotations.get(TIMESTAMP) ?? ""), "SignedRFC3161Timestamp") ?? "");
  return {
    ...(certificate !== undefined && { certificate }),
    intermediates: pemCertificates(annotations.get(CHAIN) ?? ""),
    logEntries: entry === undefined ? [] : [entry],
    timestamps: timestamp === undefined ? [] : [timestamp],
  };
}

function certificatesOf({ verificationMaterial: { content } }: Bundle): readonly Buffer[] {
  switch (content.$case) {
    case "certificate":
      return [content.certificate.rawBytes];
    case "x509CertificateChain":
      return content.x509CertificateChain.certificates.map(({ rawBytes }) => rawBytes);
    case "publicKey":
      return [];
  }
}

/** What a bundle carries beside its content. */
export function bundledMaterial(bundle: Bundle): Material {
  const { tlogEntries, timestampVerificationData } = bundle.verificationMaterial;
  const [certificate, ...intermediates] = certificatesOf(bundle);
  return {
    ...(certificate !== undefined && { certificate }),
    intermediates: intermediates.slice(0, MOST),
    logEntries: tlogEntries.slice(0, MOST),
    timestamps: (timestampVerificationData?.rfc3161Timestamps ?? [])
      .slice(0, MOST)
      .map(({ signedTimestamp }) => signedTimestamp),
  };
}
