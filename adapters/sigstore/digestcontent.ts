import type { KeyObject } from "node:crypto";
import { p256, p384, p521 } from "@noble/curves/nist.js";
import type { SignedContent } from "./content.ts";

const CURVES = { prime256v1: p256, secp384r1: p384, secp521r1: p521 } as const;

/** Node's verifier hashes what it is given; this one is given the hash. */
function verifiesDigest(key: KeyObject, digest: Buffer, signature: Buffer): boolean {
  const named = key.asymmetricKeyDetails?.namedCurve;
  const curve = Object.entries(CURVES).find(([name]) => name === named)?.[1];
  const { x, y } = key.export({ format: "jwk" });
  if (curve === undefined || x === undefined || y === undefined) return false;
  const point = Buffer.concat([Buffer.from([0x04]), Buffer.from(x, "base64url"), Buffer.from(y, "base64url")]);
  try {
    return curve.verify(signature, digest, point, { prehash: false, lowS: false, format: "der" });
  } catch {
    return false; // no signature in DER
  }
}

/** Content of which only its sha256 is known. Only ECDSA over SHA-256 can be verified so; any other key verifies nothing. */
export function contentOfDigest(digest: Buffer, signature: Buffer): SignedContent {
  return {
    signature,
    isSignedBy: ({ key }) => key.asymmetricKeyType === "ec" && verifiesDigest(key, digest, signature),
    digest: (algorithm) => (algorithm === "sha256" ? digest : undefined),
  };
}
