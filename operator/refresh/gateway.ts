import { readFile } from "node:fs/promises";
import { GATEWAY_PORT } from "../../core/cacheregistry/gateway.ts";
import { gatewayName } from "../../core/cacheregistry/names.ts";
import { DomainError, messageOf } from "../../core/errors.ts";
import { accessSecretName, TLS_CERT_FILE } from "../../core/gatewayaccess/names.ts";
import type { CacheRegistryObject } from "../../crds/index.ts";
import type { Objects, SecretObject } from "../resources.ts";
import { keychainOf, type Place, type RefreshErrorCode } from "./doors.ts";

export interface GatewayDoorOptions {
  readonly namespace: string;
  readonly secrets: Pick<Objects<SecretObject>, "get">;
  /** The operator's own token for gateways, which the kubelet renews; absent where the operator runs as no Pod. */
  readonly tokenFile?: string;
}

async function tokenOf(file: string): Promise<string> {
  try {
    return (await readFile(file, "utf8")).trim();
  } catch (thrown) {
    throw new DomainError<RefreshErrorCode>(
      "REFRESH_CREDENTIALS",
      `the operator's token for gateways can't be read: ${messageOf(thrown)}; see the volume "gateway-token" of its Deployment`,
    );
  }
}

/**
 * The gateway of an in-cluster registry by its Service: as the operator's ServiceAccount, which gateways let in whatever `clients` says,
 * and trusting the very certificate that the gateway was given.
 */
export async function gatewayPlace(registry: CacheRegistryObject, options: GatewayDoorOptions): Promise<Place> {
  const { namespace, secrets, tokenFile } = options;
  const { name } = registry.metadata;
  const { tls, pullHost = "" } = registry.spec.inCluster ?? {};
  const encoded = secrets.get(`${namespace}/${accessSecretName(name)}`)?.data?.[TLS_CERT_FILE];
  const given = tls?.secretRef !== undefined;
  const ca = tls === undefined || encoded === undefined ? undefined : Buffer.from(encoded, "base64").toString("utf8");
  const password = tokenFile === undefined ? undefined : await tokenOf(tokenFile);
  return {
    host: `${gatewayName(name)}.${namespace}.svc:${GATEWAY_PORT}`,
    plainHTTP: tls === undefined,
    keychain: keychainOf(password === undefined ? undefined : { username: "entrepot", password }),
    ...(ca !== undefined && { ca }),
    ...(given && { serverName: pullHost.replace(/:[0-9]+$/, "") }),
  };
}
