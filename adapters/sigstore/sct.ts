import { ByteStream, EXTENSION_OID_SCT, X509SCTExtension } from "@sigstore/core";
import type { Certificate } from "./certificate.ts";
import type { CertificatePath } from "./certificate-path.ts";
import { hashOf } from "./content.ts";
import { Refusal, reading } from "./refusal.ts";
import { isWithin, type Log } from "./trustmaterial.ts";

type Timestamp = X509SCTExtension["signedCertificateTimestamps"][number];

const MOST_TIMESTAMPS = 16;

function timestampsOf(leaf: Certificate): readonly Timestamp[] {
  const extension = leaf.parsed.extensions.find(({ subs: [oid] }) => oid?.toOID() === EXTENSION_OID_SCT);
  return extension === undefined ? [] : new X509SCTExtension(extension).signedCertificateTimestamps;
}

/** RFC 6962 section 3.2, `PreCert`: the hash of the issuer's key and the certificate as it was before the timestamps went in. */
function preCertificate(leaf: Certificate, issuer: Certificate): Buffer {
  const clone = leaf.parsed.clone();
  const extensions = clone.extensions;
  const at = extensions.findIndex(({ subs: [oid] }) => oid?.toOID() === EXTENSION_OID_SCT);
  extensions.splice(at, 1);
  const tbs = clone.tbsCertificate.toDER();
  const stream = new ByteStream();
  stream.appendView(hashOf("sha256", issuer.parsed.publicKey));
  stream.appendUint24(tbs.length);
  stream.appendView(tbs);
  return stream.buffer;
}

function isVerified(timestamp: Timestamp, signed: Buffer, logs: readonly Log[]): boolean {
  return logs.some(
    ({ ids, window, key }) =>
      ids.some((id) => id.equals(timestamp.logID)) &&
      isWithin(window, timestamp.datetime) &&
      timestamp.verify(signed, key),
  );
}

/**
 * Checks that a log of the trust root promised to publish the certificate: one signed certificate timestamp (RFC 6962) embedded in it
 * must verify, as sigstore's clients ask by default. Throws `Refusal`.
 */
export function checkTransparency({ certificates: [leaf, issuer] }: CertificatePath, logs: readonly Log[]): void {
  const timestamps = reading("the signed certificate timestamp", () => timestampsOf(leaf));
  if (issuer === undefined || timestamps.length === 0) {
    throw new Refusal(
      "certificate has no signed certificate timestamp (SCT): its issuer does not publish it; insecureIgnoreSCT accepts that",
    );
  }
  const verified = reading("the signed certificate timestamp", () => {
    const signed = preCertificate(leaf, issuer);
    return timestamps.slice(0, MOST_TIMESTAMPS).some((timestamp) => isVerified(timestamp, signed, logs));
  });
  if (!verified) {
    throw new Refusal(
      "no signed certificate timestamp (SCT) of the certificate is by a certificate transparency log of the trust root",
    );
  }
}
