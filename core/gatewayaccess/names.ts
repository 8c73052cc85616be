import { gatewayName } from "../cacheregistry/names.ts";

/** The files of the Secret that is mounted into the gateway. */
export const ACCESS_FILE = "access.json";
export const UPSTREAMS_FILE = "upstreams.json";
export const TLS_CERT_FILE = "tls.crt";
export const TLS_KEY_FILE = "tls.key";
/** Where it is mounted. */
export const ACCESS_DIRECTORY = "/etc/entrepot-gateway";
/** The key of the ConfigMap that has the authority's certificate. */
export const CA_FILE = "ca.crt";

/**
 * The header by which a proxy that has credentials for its upstream marks everything that it answers. A gateway that has not heard of
 * the credentials yet learns of them by it before a byte of the answer goes out; the header itself never does.
 */
export const PRIVATE_HEADER = "entrepot-private";

/** The Secret that the gateway reads: users' hashes, what it asks upstreams with, and the serving certificate. */
export function accessSecretName(registry: string): string {
  return `${gatewayName(registry)}-access`;
}

/** The Secret with the key of a self-signed gateway's own authority. It is mounted nowhere. */
export function authoritySecretName(registry: string): string {
  return `${gatewayName(registry)}-authority`;
}

/** The ConfigMap with the certificate of that authority, for whoever is to trust it. */
export function caConfigMapName(registry: string): string {
  return `${registry}-gateway-ca`;
}
