import { createPublicKey } from "node:crypto";
import type { CertificateIssuers, TrustedRootJson } from "../../core/policy/types.ts";
import { type Certificate, OID, readCertificates } from "./certificate.ts";
import { type CertificatePath, pathsTo } from "./certificate-path.ts";
import { Refusal } from "./refusal.ts";
import type { CertificateAuthority, Log, TrustMaterial } from "./trustmaterial.ts";

/** Who issues the certificates that are believed, read. */
export interface Issuers {
  /** Every path from a leaf to one of the issuers. Throws `Refusal` when there is none. */
  pathsFrom(leaf: Certificate, untrusted: readonly Certificate[]): readonly CertificatePath[];
  /** Logs that must have promised to publish the certificate; undefined where none is asked of these issuers. */
  readonly certificateLogs: readonly Log[] | undefined;
}

const PEM_KEY = /-----BEGIN [A-Z ]*PUBLIC KEY-----[A-Za-z0-9+/=\s]+-----END [A-Z ]*PUBLIC KEY-----/g;

/**
 * Certificates for signing code only. Fulcio's always say so; those of an authority of one's own may leave it open, as RFC 5280 section
 * 4.2.1.12 and Go's verifier have it, but not say otherwise.
 */
function checkLeaf(leaf: Certificate, mustSay: boolean): void {
  const { purposes, parsed } = leaf;
  const says = purposes?.some((purpose) => purpose === OID.codeSigning || purpose === OID.anyPurpose);
  if (says === false || (mustSay && says === undefined)) throw new Refusal("certificate is not for code signing");
  if (parsed.extKeyUsage?.digitalSignature === false) throw new Refusal("certificate is not for digital signatures");
}

function pathsFor(
  leaf: Certificate,
  authorities: readonly CertificateAuthority[],
  untrusted: readonly Certificate[],
): readonly CertificatePath[] {
  const paths = pathsTo(authorities, leaf, untrusted, OID.codeSigning);
  if (paths.length === 0)
    throw new Refusal(
      "certificate signed by unknown authority (no certificate authority that is trusted issued it to sign code)",
    );
  return paths;
}

/** Those that issued themselves are roots, the others intermediates; where there is no root, the last is what is trusted. */
function authorityOf(certificates: readonly Certificate[]): CertificateAuthority {
  const roots = certificates.filter(({ selfIssued }) => selfIssued);
  const anchors = roots.length > 0 ? roots : certificates.slice(-1);
  return { anchors, intermediates: certificates.filter((one) => !anchors.includes(one)), window: {} };
}

function fromRoot({ authorities, certificateLogs }: TrustMaterial): Issuers {
  return {
    certificateLogs,
    pathsFrom: (leaf, untrusted) => {
      checkLeaf(leaf, true);
      return pathsFor(leaf, authorities, untrusted);
    },
  };
}

function fromCertificates(pem: string): Issuers {
  const certificates = readCertificates(pem);
  if (certificates.length === 0) throw new Error("ca-cert holds no certificate");
  const authority = authorityOf(certificates);
  return {
    certificateLogs: undefined,
    pathsFrom: (leaf, untrusted) => {
      checkLeaf(leaf, false);
      return pathsFor(leaf, [authority], untrusted);
    },
  };
}

function fromKeys(pem: string): Issuers {
  const keys = [...pem.matchAll(PEM_KEY)].map(([text]) => createPublicKey(text));
  if (keys.length === 0) throw new Error("ca-cert holds no public key");
  return {
    certificateLogs: undefined,
    pathsFrom: (leaf) => {
      checkLeaf(leaf, false);
      if (!keys.some((key) => leaf.x509.verify(key)))
        throw new Refusal("certificate signed by unknown authority (it is not signed by the key of ca-cert)");
      return [{ certificates: [leaf], window: {} }];
    },
  };
}

/** Reads the issuers of an authority. Throws when they cannot be used. */
export function readIssuers(issuers: CertificateIssuers, trust: (root: TrustedRootJson) => TrustMaterial): Issuers {
  switch (issuers.kind) {
    case "trusted-root":
      return fromRoot(trust(issuers.trustedRoot));
    case "certificates":
      return fromCertificates(issuers.pem);
    case "key":
      return fromKeys(issuers.pem);
  }
}
