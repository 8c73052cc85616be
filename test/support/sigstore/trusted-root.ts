import { createHash, createPublicKey, type KeyObject, X509Certificate } from "node:crypto";
import type { CertificateAuthority, SigstoreKeys, TransparencyLog } from "../../../crds/index.ts";

/** What there is to trust in an instance of Sigstore. */
export interface TrustMaterial {
  readonly fulcio?: { readonly url: string; readonly chain: readonly string[] };
  readonly ctLog?: { readonly url: string; readonly publicKey: string };
  readonly rekorV1?: { readonly url: string; readonly publicKey: string };
  readonly rekor?: { readonly url: string; readonly publicKey: string };
  readonly tsa?: { readonly url: string; readonly chain: readonly string[] };
}

const VALID_FOR = { start: "2020-01-01T00:00:00Z" };

function authorities(part: TrustMaterial["fulcio"]): readonly object[] {
  if (part === undefined) return [];
  const certificates = part.chain.map((pem) => ({ rawBytes: new X509Certificate(pem).raw.toString("base64") }));
  const subject = { organization: "test", commonName: "test" };
  return [{ subject, uri: part.url, certChain: { certificates }, validFor: VALID_FOR }];
}

const ED25519_BYTES = 32;

/** RFC 6962, section 3.2; of an Ed25519 key as C2SP's signed-note.md has it, where the origin is the log's host name. */
function keyIdOf(url: string, key: KeyObject): string {
  const der = key.export({ type: "spki", format: "der" });
  const hash = createHash("sha256");
  if (key.asymmetricKeyType !== "ed25519") return hash.update(der).digest("base64");
  return hash
    .update(`${new URL(url).hostname}\n\x01`)
    .update(der.subarray(-ED25519_BYTES))
    .digest("base64");
}

function logs(part: TrustMaterial["rekor"]): readonly object[] {
  if (part === undefined) return [];
  const key = createPublicKey(part.publicKey);
  const publicKey = {
    rawBytes: key.export({ type: "spki", format: "der" }).toString("base64"),
    keyDetails: key.asymmetricKeyType === "ed25519" ? "PKIX_ED25519" : "PKIX_ECDSA_P256_SHA_256",
    validFor: VALID_FOR,
  };
  return [{ baseUrl: part.url, hashAlgorithm: "SHA2_256", publicKey, logId: { keyId: keyIdOf(part.url, key) } }];
}

/** The `TrustedRoot` (sigstore_trustroot.proto) of it, as protobuf JSON. */
export function trustedRoot({ fulcio, ctLog, rekorV1, rekor, tsa }: TrustMaterial): string {
  return JSON.stringify({
    mediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    tlogs: [...logs(rekor), ...logs(rekorV1)], // the last is the one that is asked, and only the older can be
    certificateAuthorities: authorities(fulcio),
    ctlogs: logs(ctLog),
    timestampAuthorities: authorities(tsa),
  });
}

const base64 = (text: string): string => Buffer.from(text).toString("base64");

function keyedAuthorities(part: TrustMaterial["fulcio"]): CertificateAuthority[] {
  if (part === undefined) return [];
  const subject = { organization: "test", commonName: "test" };
  return [{ subject, uri: part.url, certChain: base64(part.chain.join("")) }];
}

function keyedLogs(part: TrustMaterial["rekor"]): TransparencyLog[] {
  return part === undefined ? [] : [{ baseURL: part.url, hashAlgorithm: "sha-256", publicKey: base64(part.publicKey) }];
}

/** The `spec.sigstoreKeys` of a TrustRoot that say the same. */
export function sigstoreKeys({ fulcio, ctLog, rekorV1, rekor, tsa }: TrustMaterial): SigstoreKeys {
  return {
    certificateAuthorities: keyedAuthorities(fulcio),
    ctLogs: keyedLogs(ctLog),
    tLogs: [...keyedLogs(rekor), ...keyedLogs(rekorV1)],
    timestampAuthorities: keyedAuthorities(tsa),
  };
}
