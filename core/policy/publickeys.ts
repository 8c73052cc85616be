import { createPublicKey, type KeyObject } from "node:crypto";
import { DomainError } from "../errors.ts";

export type PublicKeyErrorCode = "PUBLIC_KEY_INVALID";

const BEGIN = "-----BEGIN ";
const DASHES = "-----";
/** The formats that cosign reads: SubjectPublicKeyInfo and PKCS #1. */
const FORMATS: Readonly<Record<string, "spki" | "pkcs1">> = { "PUBLIC KEY": "spki", "RSA PUBLIC KEY": "pkcs1" };
/** The curves of Go's crypto/elliptic, by their names in OpenSSL. */
const CURVES = new Set(["secp224r1", "prime256v1", "secp384r1", "secp521r1"]);
const KEY_LIMIT = 32;

/**
 * The public keys in a text of PEM blocks, in their order, at least one: RSA, ECDSA on a NIST curve, Ed25519, as
 * cosign's `UnmarshalPEMToPublicKey` takes them (it reads the first block alone). Anything else in a block is an error:
 * a key that cannot be read must not look like one that did not sign. Throws `PUBLIC_KEY_INVALID`; the message has none
 * of the text.
 */
export function parsePublicKeys(pem: string): readonly KeyObject[] {
  const blocks = pem.split(BEGIN).slice(1);
  if (blocks.length === 0) throw invalid("there is no PEM block: it begins with -----BEGIN PUBLIC KEY-----");
  if (blocks.length > KEY_LIMIT) throw invalid(`there are more than ${KEY_LIMIT} keys`);
  return blocks.map(parseBlock);
}

function parseBlock(block: string): KeyObject {
  const label = block.slice(0, block.indexOf(DASHES));
  const type = FORMATS[label];
  if (type === undefined) throw invalid(`a PEM block is "${label.slice(0, 40)}" and not "PUBLIC KEY"`);
  const end = `${DASHES}END ${label}${DASHES}`;
  const length = block.indexOf(end);
  if (length < 0) throw invalid(`a PEM block does not end with ${end}`);
  const key = readKey(`${BEGIN}${block.slice(0, length)}${end}\n`, type);
  if (!isSupported(key))
    throw invalid(`${key.asymmetricKeyType} keys are not supported: use ECDSA (P-256, P-384, P-521), RSA or Ed25519`);
  return key;
}

function readKey(pem: string, type: "spki" | "pkcs1"): KeyObject {
  try {
    return createPublicKey({ key: pem, format: "pem", type });
  } catch (cause) {
    throw new DomainError<PublicKeyErrorCode>("PUBLIC_KEY_INVALID", "a PEM block is no public key", {
      cause,
      terminal: true,
    });
  }
}

function isSupported(key: KeyObject): boolean {
  if (key.asymmetricKeyType === "ec") return CURVES.has(key.asymmetricKeyDetails?.namedCurve ?? "");
  return key.asymmetricKeyType === "rsa" || key.asymmetricKeyType === "ed25519";
}

function invalid(message: string): DomainError<PublicKeyErrorCode> {
  return new DomainError("PUBLIC_KEY_INVALID", message, { terminal: true });
}
