import { generateKeyPairSync, type KeyObject } from "node:crypto";

export interface PemPair {
  /** PKCS#8. */
  readonly privateKey: string;
  /** SubjectPublicKeyInfo. */
  readonly publicKey: string;
  readonly signer: KeyObject;
}

export type KeyKind = "P-256" | "P-384" | "P-521" | "rsa" | "rsa-4096" | "rsa-pss" | "ed25519";

function generate(kind: KeyKind): { privateKey: KeyObject; publicKey: KeyObject } {
  switch (kind) {
    case "rsa":
      return generateKeyPairSync("rsa", { modulusLength: 2048 });
    case "rsa-4096":
      return generateKeyPairSync("rsa", { modulusLength: 4096 });
    case "rsa-pss":
      return generateKeyPairSync("rsa-pss", { modulusLength: 2048 });
    case "ed25519":
      return generateKeyPairSync("ed25519");
    default:
      return generateKeyPairSync("ec", { namedCurve: kind });
  }
}

/** A new key pair of a kind that signs images. */
export function generatePem(kind: KeyKind): PemPair {
  const { privateKey, publicKey } = generate(kind);
  return {
    privateKey: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    publicKey: publicKey.export({ type: "spki", format: "pem" }).toString(),
    signer: privateKey,
  };
}
