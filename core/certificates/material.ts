import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";

/** The keys of the Secret `webhook-certs`, as policy-controller names them, and ours for the authority's private key. */
export const SERVER_KEY = "server-key.pem";
export const SERVER_CERT = "server-cert.pem";
export const CA_CERT = "ca-cert.pem";
export const CA_KEY = "ca-key.pem";

/** What the Secret holds, as PEM. `ca-cert.pem` has the authority that signs first, then those that are only still trusted. */
export type CertificateFiles = Readonly<Record<string, string>>;

/** A certificate and the key that goes with it. */
export interface Pair {
  readonly certificate: X509Certificate;
  readonly pem: string;
  readonly key: KeyObject;
  readonly keyPem: string;
}

/** The material, read. A part that is missing, unreadable, or whose key does not fit is absent. */
export interface CertificateMaterial {
  readonly authority?: Pair;
  readonly serving?: Pair;
  /** Authorities that are trusted and no longer sign. */
  readonly retired: readonly { readonly certificate: X509Certificate; readonly pem: string }[];
}

const SIZE_LIMIT = 256 * 1024;
const PEM = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;

function certificates(text: string): readonly { certificate: X509Certificate; pem: string }[] {
  if (text.length > SIZE_LIMIT) return [];
  return (text.match(PEM) ?? []).flatMap((pem) => {
    try {
      return [{ certificate: new X509Certificate(pem), pem: `${pem}\n` }];
    } catch {
      return [];
    }
  });
}

function pair(
  found: { certificate: X509Certificate; pem: string } | undefined,
  keyPem: string | undefined,
): Pair | undefined {
  if (found === undefined || keyPem === undefined || keyPem.length > SIZE_LIMIT) return undefined;
  try {
    const key = createPrivateKey(keyPem);
    return found.certificate.checkPrivateKey(key) ? { ...found, key, keyPem } : undefined;
  } catch {
    return undefined;
  }
}

/** Reads what the Secret holds; never throws: what can't be read is as good as missing, and is made anew. */
export function readMaterial(files: CertificateFiles): CertificateMaterial {
  const [first, ...retired] = certificates(files[CA_CERT] ?? "");
  const authority = pair(first, files[CA_KEY]);
  const serving = pair(certificates(files[SERVER_CERT] ?? "")[0], files[SERVER_KEY]);
  return {
    ...(authority && { authority }),
    ...(serving && { serving }),
    // An authority whose key is lost can't sign any more, but what it signed is still served.
    retired: authority === undefined && first !== undefined ? [first, ...retired] : retired,
  };
}

/** The authorities that the API server should trust, as one PEM text: the one that signs, then the retired. */
export function trustBundle(material: CertificateMaterial): string {
  return [...(material.authority ? [material.authority.pem] : []), ...material.retired.map(({ pem }) => pem)].join("");
}
