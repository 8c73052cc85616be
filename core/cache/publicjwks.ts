import { type Keyring, parseKeyring, publicKeyring } from "./keyring.ts";

/** The ConfigMap of the system namespace with what opens our seals, for auditors; the webhook never reads it. */
export const PUBLIC_KEYS_CONFIG_MAP = "entrepot-seal-keys-public";
export const PUBLIC_KEYS_FILE = "jwks.json";

/** The public halves of a keyring as a JWK set (RFC 7517), active and retired keys; the same keyring gives the same text. */
export function writePublicJwks(keyring: Keyring): string {
  return `${JSON.stringify(publicKeyring(keyring), undefined, 2)}\n`;
}

/** Reads a JWK set of seal keys for opening alone: private parts, should there be any, are left out. Throws `KEYRING_INVALID`. */
export function readPublicJwks(text: string): Keyring {
  return publicKeyring(parseKeyring(text));
}
