import { constants, createPublicKey, type KeyObject, verify } from "node:crypto";
import { ed25519ph } from "@noble/curves/ed25519.js";
import type { HashAlgorithm } from "../../core/policy/types.ts";

/** A public key and the hash algorithms that its signatures are tried with. */
export interface VerificationKey {
  readonly key: KeyObject;
  readonly hashes: readonly HashAlgorithm[];
}

// What cosign 3 signs with unless told otherwise: the hash that belongs to the curve.
const CURVE_HASH: Readonly<Record<string, HashAlgorithm>> = {
  prime256v1: "sha256",
  secp384r1: "sha384",
  secp521r1: "sha512",
};
const KINDS: readonly (string | undefined)[] = ["ec", "rsa", "rsa-pss", "ed25519"];

/**
 * What the signatures of a key are tried with. `hashAlgorithm` is the policy's; where it is the default, sha256, the hash that
 * belongs to the key's curve is tried too, because cosign 3 signs with that one. Throws for a key of a kind that signs nothing here
 * (ECDSA P-256, P-384, P-521, RSA and Ed25519 do).
 */
export function verificationKeyOf(key: KeyObject, hashAlgorithm: HashAlgorithm): VerificationKey {
  const curve = key.asymmetricKeyDetails?.namedCurve;
  if (key.type !== "public" || !KINDS.includes(key.asymmetricKeyType)) {
    throw new Error(`keys of type ${key.asymmetricKeyType ?? "unknown"} are not supported`);
  }
  if (curve !== undefined && CURVE_HASH[curve] === undefined)
    throw new Error(`keys of the curve ${curve} are not supported`);
  const own = curve === undefined || hashAlgorithm !== "sha256" ? hashAlgorithm : CURVE_HASH[curve];
  return { key, hashes: own === undefined || own === hashAlgorithm ? [hashAlgorithm] : [hashAlgorithm, own] };
}

/** Reads a public key (PEM, SubjectPublicKeyInfo or PKCS#1), as `verificationKeyOf`. Throws when the text is no public key. */
export function verificationKey(pem: string, hashAlgorithm: HashAlgorithm): VerificationKey {
  return verificationKeyOf(createPublicKey(pem), hashAlgorithm);
}

function verifies(key: KeyObject, hash: HashAlgorithm, data: Buffer, signature: Buffer): boolean {
  switch (key.asymmetricKeyType) {
    case "ec":
      return verify(hash, data, { key, dsaEncoding: "der" }, signature);
    case "rsa":
      return (
        verify(hash, data, { key, padding: constants.RSA_PKCS1_PADDING }, signature) ||
        verifiesPss(key, hash, data, signature)
      );
    case "rsa-pss":
      return verifiesPss(key, hash, data, signature);
    case "ed25519":
      return verify(null, data, key, signature) || verifiesPrehashed(key, data, signature);
    default:
      return false;
  }
}

function verifiesPss(key: KeyObject, hash: HashAlgorithm, data: Buffer, signature: Buffer): boolean {
  const { RSA_PKCS1_PSS_PADDING: padding, RSA_PSS_SALTLEN_AUTO: saltLength } = constants;
  return verify(hash, data, { key, padding, saltLength }, signature);
}

/** Ed25519ph (RFC 8032 section 5.1, SHA-512, empty context), which cosign 3 signs images with. `zip215: false`: as strict as the RFC. */
function verifiesPrehashed(key: KeyObject, data: Buffer, signature: Buffer): boolean {
  const { x } = key.export({ format: "jwk" });
  if (x === undefined || signature.length !== 64) return false;
  return ed25519ph.verify(signature, data, Buffer.from(x, "base64url"), { zip215: false });
}

/**
 * Whether `signature` is one of `data` by `key`: ECDSA in DER form, RSA with PKCS#1 v1.5 or PSS padding, Ed25519 or Ed25519ph. Never
 * throws: a signature that OpenSSL cannot even read does not verify.
 */
export function isSignedBy({ key, hashes }: VerificationKey, data: Buffer, signature: Buffer): boolean {
  return hashes.some((hash) => {
    try {
      return verifies(key, hash, data, signature);
    } catch {
      return false;
    }
  });
}
