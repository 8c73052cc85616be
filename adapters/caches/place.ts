import { hashKey } from "../../core/hashkey.ts";
import type { Credentials, Keychain } from "../../core/policy/types.ts";
import type { PullSecret } from "../../core/registry/docker-config.ts";
import { ANONYMOUS } from "../../core/registry/keychain.ts";

/** How a registry is connected to. */
export interface Connection {
  readonly host: string;
  readonly plainHTTP: boolean;
  /** Certificates (PEM) to trust beside the system's. */
  readonly ca?: string;
  /** `ca` is trusted in place of the system's. */
  readonly caAlone?: boolean;
  /** The name that the certificate must have, where it is another than `host`. */
  readonly serverName?: string;
}

/** Where a registry answers, and as whom it is asked. */
export interface Place extends Connection {
  readonly keychain: Keychain;
}

/** The data of a ConfigMap of the system namespace by name. */
export type ConfigMapLookup = (name: string) => Readonly<Record<string, string>> | undefined;

/** A Secret of the system namespace by name. */
export type SecretLookup = (name: string) => PullSecret | undefined;

export type CacheAccessErrorCode = "CACHE_CREDENTIALS" | "CACHE_TRUST" | "CACHE_UNKNOWN";

/** The same text for the same way of connecting, and another for any other. */
export function wayOf({ host, plainHTTP, ca, caAlone, serverName }: Connection): string {
  return hashKey([host, plainHTTP, ca ?? "", caAlone === true, serverName ?? ""]);
}

/** A keychain of one user, for one host alone; of nobody without credentials. */
export function keychainFor(host: string, credentials: Credentials | undefined): Keychain {
  if (credentials === undefined) return ANONYMOUS;
  const all = [credentials];
  return { forRepository: (registry) => (registry === host ? all : []) };
}
