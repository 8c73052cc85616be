import type { KeyRef } from "../../crds/index.ts";
import { type FieldErrors, invalidValue, missingOneOf, multipleOneOf, viaField } from "./fielderror.ts";
import { parsePublicKeys } from "./publickeys.ts";
import { kmsErrors } from "./validate-kms.ts";

const HASH_ALGORITHMS = new Set(["sha224", "sha256", "sha384", "sha512"]);

const FOREIGN_NAMESPACE =
  "secretref.namespace is invalid. If set, it should use the same namespace where the policy-controller was deployed";

/** What is wrong with a key, or with a certificate authority given in its place, with paths from there. */
export function keyErrors(key: KeyRef, { systemNamespace }: { readonly systemNamespace: string }): FieldErrors {
  const { data, kms, secretRef, hashAlgorithm } = key;
  const forms = [data, kms, secretRef].filter(Boolean).length;
  const namespace = secretRef?.namespace;
  return [
    ...(forms === 0 ? missingOneOf("data", "kms", "secretref") : []),
    ...(hashAlgorithm && !isHashAlgorithm(hashAlgorithm) ? invalidValue(hashAlgorithm, "hashAlgorithm") : []),
    ...(forms > 1 ? multipleOneOf("data", "kms", "secretref") : []),
    ...(data && !holdsPublicKeys(data) ? invalidValue(data, "data") : []),
    ...(kms ? viaField("kms", kmsErrors(kms)) : []),
    ...(namespace && namespace !== systemNamespace
      ? invalidValue(namespace, "secretref.namespace", FOREIGN_NAMESPACE)
      : []),
  ];
}

function isHashAlgorithm(name: string): boolean {
  return HASH_ALGORITHMS.has(name.trim().toLowerCase());
}

function holdsPublicKeys(pem: string): boolean {
  try {
    parsePublicKeys(pem);
    return true;
  } catch {
    return false;
  }
}
