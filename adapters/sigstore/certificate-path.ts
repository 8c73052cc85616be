import { type Certificate, isValidAt, OID } from "./certificate.ts";
import { Refusal } from "./refusal.ts";
import { type CertificateAuthority, isWithin, type Window } from "./trustmaterial.ts";

/** From a leaf to a trusted certificate, every signature in between verified; whether it was valid at some time is another question. */
export interface CertificatePath {
  readonly certificates: readonly [Certificate, ...Certificate[]];
  /** Of the authority that the path ends in. */
  readonly window: Window;
}

const LONGEST_PATH = 8;
const MOST_UNTRUSTED = 8;
const MOST_CHECKS = 24; // cross-signed certificates that a stranger sends may span many paths
const KNOWN_CRITICAL: readonly string[] = [
  OID.subjectAltName,
  OID.keyUsage,
  OID.basicConstraints,
  OID.extendedKeyUsage,
];

type IsIssuedBy = (subject: Certificate, issuer: Certificate) => boolean;

/** The one step of a path, with a limit on how many signatures are verified. */
function issuedBy(): IsIssuedBy {
  let checks = 0;
  return (subject, issuer) => {
    if (!issuer.x509.ca || !subject.x509.checkIssued(issuer.x509)) return false;
    if (++checks > MOST_CHECKS) throw tooMany();
    return subject.x509.verify(issuer.x509.publicKey);
  };
}

function tooMany(): Refusal {
  return new Refusal("the certificates that came with the signature are too many to follow");
}

/** RFC 5280 section 6.1.4 (l) and (m): how many intermediates a CA allows below itself, self-issued ones not counted. */
function keepsPathLengths(path: readonly Certificate[]): boolean {
  return path.every(({ pathLength }, at) => {
    const below = path.slice(1, at).filter(({ selfIssued }) => !selfIssued).length;
    return at === 0 || pathLength === undefined || below <= pathLength;
  });
}

function isUnderstood({ critical, parsed }: Certificate): boolean {
  return critical.every((oid) => KNOWN_CRITICAL.includes(oid)) && parsed.extension(OID.nameConstraints) === undefined;
}

/** An absent extended key usage restricts nothing; one of a CA restricts what it issues (as Go's and OpenSSL's verifiers have it). */
function mayServe({ purposes }: Certificate, purpose: string): boolean {
  return purposes === undefined || purposes.includes(purpose) || purposes.includes(OID.anyPurpose);
}

function search(
  leaf: Certificate,
  authority: CertificateAuthority,
  untrusted: readonly Certificate[],
): Certificate[][] {
  const found: Certificate[][] = [];
  const between = [...authority.intermediates, ...untrusted];
  const isIssuedBy = issuedBy();
  const extend = (path: readonly Certificate[], last: Certificate): void => {
    for (const anchor of authority.anchors) if (isIssuedBy(last, anchor)) found.push([...path, anchor]);
    if (path.length >= LONGEST_PATH - 1) return;
    for (const next of between) {
      if (!path.some(({ der }) => der.equals(next.der)) && isIssuedBy(last, next)) extend([...path, next], next);
    }
  };
  extend([leaf], leaf);
  return found;
}

/**
 * Every path from `leaf` to one of `authorities` for a purpose (an extended key usage): signatures, names, basic constraints, path
 * lengths, key usages (RFC 5280 section 6.1); `untrusted` certificates may stand in between. Name constraints are not implemented:
 * no path goes through a certificate that has any. Throws `Refusal` when there are too many certificates to follow.
 */
export function pathsTo(
  authorities: readonly CertificateAuthority[],
  leaf: Certificate,
  untrusted: readonly Certificate[],
  purpose: string,
): readonly CertificatePath[] {
  if (untrusted.length > MOST_UNTRUSTED) throw tooMany();
  return authorities.flatMap((authority) =>
    search(leaf, authority, untrusted)
      .filter((path) => keepsPathLengths(path) && path.every(isUnderstood))
      .filter((path) => path.every((certificate) => mayServe(certificate, purpose)))
      .map((path) => ({ certificates: [leaf, ...path.slice(1)] as const, window: authority.window })),
  );
}

/** Whether every certificate of the path, and the authority that it ends in, was valid at `time`. */
export function isPathValidAt({ certificates, window }: CertificatePath, time: Date): boolean {
  return isWithin(window, time) && certificates.every((certificate) => isValidAt(certificate, time));
}
