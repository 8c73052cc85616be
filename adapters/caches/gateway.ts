import { readFile } from "node:fs/promises";
import { GATEWAY_PORT } from "../../core/cacheregistry/gateway.ts";
import { gatewayName } from "../../core/cacheregistry/names.ts";
import { CA_CERT } from "../../core/certificates/material.ts";
import { DomainError, messageOf } from "../../core/errors.ts";
import { accessSecretName, authoritySecretName, CA_FILE, TLS_CERT_FILE } from "../../core/gatewayaccess/names.ts";
import type { CacheRegistryObject } from "../../crds/index.ts";
import { type CacheAccessErrorCode, keychainFor, type Place, type SecretLookup } from "./place.ts";

export interface GatewayPlaceOptions {
  readonly namespace: string;
  readonly secret: SecretLookup;
  /** This process's own token for gateways, which the kubelet renews; absent where it runs as no Pod. */
  readonly tokenFile?: string;
  /** Where gateways answer (`host:port`) by CacheRegistry, in place of their Services: for a process outside the cluster. */
  readonly hosts?: ReadonlyMap<string, string>;
}

async function tokenOf(file: string): Promise<string> {
  try {
    return (await readFile(file, "utf8")).trim();
  } catch (thrown) {
    throw new DomainError<CacheAccessErrorCode>(
      "CACHE_CREDENTIALS",
      `the token for gateways can't be read: ${messageOf(thrown)}; see the volume "gateway-token" of this process's Deployment`,
    );
  }
}

/**
 * What a gateway's certificate is checked against: its authority (its own, or the `ca.crt` beside a given certificate), for the kubelet
 * brings a new certificate to the gateway a minute after it is in the Secret; and a given certificate itself.
 */
function trusted({ metadata: { name }, spec }: CacheRegistryObject, secret: SecretLookup): string | undefined {
  const tls = spec.inCluster?.tls;
  if (tls === undefined) return undefined;
  const file = (secretName: string, key: string): string =>
    Buffer.from(secret(secretName)?.data?.[key] ?? "", "base64").toString("utf8");
  const given = file(accessSecretName(name), TLS_CERT_FILE);
  const reference = tls.secretRef?.name;
  const authority = reference === undefined ? file(authoritySecretName(name), CA_CERT) : file(reference, CA_FILE);
  const all = reference === undefined && authority !== "" ? authority : `${given}\n${authority}`.trim();
  return all === "" ? undefined : all;
}

/**
 * The gateway of an in-cluster registry by its Service: as this process's ServiceAccount, which gateways let in whatever `clients`
 * says, and trusting what the gateway was given. The token is for this host alone. Throws `CACHE_CREDENTIALS`.
 */
export async function gatewayPlace(registry: CacheRegistryObject, options: GatewayPlaceOptions): Promise<Place> {
  const { namespace, secret, tokenFile, hosts } = options;
  const { name } = registry.metadata;
  const { tls, pullHost = "" } = registry.spec.inCluster ?? {};
  const service = `${gatewayName(name)}.${namespace}.svc`;
  const elsewhere = hosts?.get(name);
  const host = elsewhere ?? `${service}:${GATEWAY_PORT}`;
  const ca = trusted(registry, secret);
  const given = tls?.secretRef !== undefined;
  const serverName = given ? pullHost.replace(/:[0-9]+$/, "") : service;
  const password = tokenFile === undefined ? undefined : await tokenOf(tokenFile);
  return {
    host,
    plainHTTP: tls === undefined,
    keychain: keychainFor(host, password === undefined ? undefined : { username: "entrepot", password }),
    ...(ca !== undefined && { ca }),
    ...((given || (tls !== undefined && elsewhere !== undefined)) && { serverName }),
  };
}
