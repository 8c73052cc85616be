import { X509Certificate } from "node:crypto";
import type { KeyRef } from "../../crds/index.ts";
import { type FieldErrors, invalidValue, missingOneOf, multipleOneOf, viaField } from "./fielderror.ts";
import { parsePublicKeys } from "./publickeys.ts";
import { kmsErrors } from "./validate-kms.ts";

const HASH_ALGORITHMS = new Set(["sha224", "sha256", "sha384", "sha512"]);

const FOREIGN_NAMESPACE =
  "secretref.namespace is invalid. If set, it should use the same namespace where the policy-controller was deployed";

/** What a KeyRef may hold: `key` public keys alone, `ca-cert` an authority's certificates or its public key. */
export type KeyContents = "keys" | "authority";

/** What is wrong with a key, or with a certificate authority given in its place, with paths from there. */
export function keyErrors(
  key: KeyRef,
  { systemNamespace }: { readonly systemNamespace: string },
  contents: KeyContents,
): FieldErrors {
  const { data, kms, secretRef, hashAlgorithm } = key;
  const forms = [data, kms, secretRef].filter(Boolean).length;
  const namespace = secretRef?.namespace;
  return [
    ...(forms === 0 ? missingOneOf("data", "kms", "secretref") : []),
    ...(hashAlgorithm && !isHashAlgorithm(hashAlgorithm) ? invalidValue(hashAlgorithm, "hashAlgorithm") : []),
    ...(forms > 1 ? multipleOneOf("data", "kms", "secretref") : []),
    ...(data && !holds(contents, data) ? invalidValue(data, "data") : []),
    ...(kms ? viaField("kms", kmsErrors(kms)) : []),
    ...(namespace && namespace !== systemNamespace
      ? invalidValue(namespace, "secretref.namespace", FOREIGN_NAMESPACE)
      : []),
  ];
}

function isHashAlgorithm(name: string): boolean {
  return HASH_ALGORITHMS.has(name.trim().toLowerCase());
}

function holds(contents: KeyContents, pem: string): boolean {
  return contents === "authority" && pem.includes(BEGIN) ? holdsCertificates(pem) : holdsPublicKeys(pem);
}

const BEGIN = "-----BEGIN CERTIFICATE-----";
const END = "-----END CERTIFICATE-----";
/** Far beyond any chain. */
const CERTIFICATE_LIMIT = 32;

/** Certificates and nothing else: what cannot be read must not look like an authority that issued nothing. */
function holdsCertificates(pem: string): boolean {
  const [before = "", ...blocks] = pem.split(BEGIN);
  if (before.includes("-----BEGIN") || blocks.length > CERTIFICATE_LIMIT) return false;
  return blocks.every((block) => {
    const end = block.indexOf(END);
    return end >= 0 && !block.slice(end).includes("-----BEGIN") && isCertificate(BEGIN + block.slice(0, end) + END);
  });
}

function isCertificate(pem: string): boolean {
  try {
    new X509Certificate(pem);
    return true;
  } catch {
    return false;
  }
}

function holdsPublicKeys(pem: string): boolean {
  try {
    parsePublicKeys(pem);
    return true;
  } catch {
    return false;
  }
}
