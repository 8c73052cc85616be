import { type Certificate, OID, readCertificate } from "./certificate.ts";
import { isPathValidAt, pathsTo } from "./certificate-path.ts";
import { hashOf, type SignedContent } from "./content.ts";
import { firstAccepted, Refusal, reading } from "./refusal.ts";
import { readTimestamp, type TimestampToken } from "./timestamp-token.ts";
import type { CertificateAuthority } from "./trustmaterial.ts";

const LARGEST = 64 * 1024;
const MOST_CERTIFICATES = 8;
const NOT_OURS = "the timestamp is by no timestamp authority of the trust root";

/** What authorities stamp: the signature; cosign, for an attestation stored as a `.att` layer, its whole envelope. */
function isAbout({ imprint: { algorithm, digest } }: TimestampToken, { signature, envelope }: SignedContent): boolean {
  if (digest.equals(hashOf(algorithm, signature))) return true;
  if (envelope === undefined) return false;
  if (algorithm === "sha256" && envelope.storedDigest !== undefined && digest.equals(envelope.storedDigest))
    return true;
  return digest.equals(hashOf(algorithm, envelope.json));
}

function isNamed({ parsed }: Certificate, signer: TimestampToken["signer"]): boolean {
  if ("keyIdentifier" in signer) return parsed.extSubjectKeyID?.keyIdentifier.equals(signer.keyIdentifier) ?? false;
  return parsed.serialNumber.equals(signer.serialNumber) && parsed.issuer.equals(signer.issuer);
}

/** A trust root may pin the signer's certificate itself; then there is no path to look for. */
function chainsTo(
  authority: CertificateAuthority,
  signer: Certificate,
  untrusted: readonly Certificate[],
  time: Date,
): void {
  const pinned = authority.anchors.some(({ der }) => der.equals(signer.der));
  const paths = pinned
    ? [{ certificates: [signer] as const, window: authority.window }]
    : pathsTo([authority], signer, untrusted, OID.timeStamping);
  if (paths.length === 0) throw new Refusal(NOT_OURS);
  if (!paths.some((path) => isPathValidAt(path, time)))
    throw new Refusal(`the timestamp was made when its authority was not valid (${time.toISOString()})`);
}

function verifyFor(authority: CertificateAuthority, token: TimestampToken, brought: readonly Certificate[]): Date {
  const known = [...authority.intermediates, ...authority.anchors, ...brought];
  const signers = known.filter((certificate) => isNamed(certificate, token.signer));
  return firstAccepted(
    signers,
    (signer) => {
      if (signer.purposes?.includes(OID.timeStamping) !== true)
        throw new Refusal("the timestamp's signer is no timestamp authority");
      if (!token.isSignedBy(signer.x509.publicKey)) throw new Refusal("the timestamp's signature does not verify");
      chainsTo(authority, signer, brought, token.time);
      return token.time;
    },
    NOT_OURS,
  );
}

/**
 * The time at which one of `authorities` saw the signature: an RFC 3161 timestamp over it, signed by a certificate for time stamping that
 * chains to the authority and was valid then. Throws `Refusal`.
 */
export function verifyTimestamp(
  der: Buffer,
  content: SignedContent,
  authorities: readonly CertificateAuthority[],
): Date {
  if (der.length > LARGEST) throw new Refusal("the timestamp is too long");
  const token = reading("the timestamp", () => readTimestamp(der));
  if (!isAbout(token, content)) throw new Refusal("the timestamp is about another signature");
  const brought = reading("the timestamp's certificates", () =>
    token.certificates.slice(0, MOST_CERTIFICATES).map(readCertificate),
  );
  return firstAccepted(
    authorities,
    (authority) => reading("the timestamp", () => verifyFor(authority, token, brought)),
    NOT_OURS,
  );
}
