import { DomainError } from "../../core/errors.ts";
import type { CacheRegistryObject } from "../../crds/index.ts";
import type { CacheAccessErrorCode, ConfigMapLookup, Connection } from "./place.ts";

/**
 * How a Harbor at `host` is connected to whose certificates `spec.harbor.caBundleRef` names, in a ConfigMap of the system namespace;
 * undefined for a registry that names none. Throws `CACHE_TRUST`.
 */
export function harborTrust(
  { metadata, spec }: CacheRegistryObject,
  host: string,
  { namespace, configMap }: { readonly namespace: string; readonly configMap: ConfigMapLookup },
): Connection | undefined {
  const { caBundleRef: reference, url } = spec.harbor ?? {};
  if (reference === undefined || url === undefined) return undefined;
  const problem = (why: string) =>
    new DomainError<CacheAccessErrorCode>(
      "CACHE_TRUST",
      `ConfigMap "${reference.name}" (spec.harbor.caBundleRef of CacheRegistry "${metadata.name}") in namespace ${namespace} ${why}; ` +
        "put the certificates to trust for Harbor there, in PEM",
    );
  const data = configMap(reference.name);
  if (data === undefined) throw problem("does not exist");
  const ca = data[reference.key] ?? "";
  if (!ca.includes("-----BEGIN CERTIFICATE-----")) throw problem(`has no certificate in its key "${reference.key}"`);
  return { host, plainHTTP: url.startsWith("http://"), ca };
}
