import { ACCESS_FILE, TLS_CERT_FILE, TLS_KEY_FILE } from "../gatewayaccess/names.ts";

/** The mounted Secret, as a gateway sees it. */
export interface MountSeen {
  /** The name of the CacheRegistry that is served. */
  readonly registry: string;
  readonly directory: string;
  /** Whether what is there could not be used, which the log has told. */
  readonly unusable: boolean;
}

/** Why a gateway that knows no rules is not ready. */
export function rulesAwaited(): string {
  return `the CacheRules are not loaded yet: ${fromTheApi("cacherules")}`;
}

/** Why a gateway that knows nothing of its CacheRegistry is not ready. */
export function registryAwaited(registry: string): string {
  return `CacheRegistry "${registry}" is not loaded yet: ${fromTheApi("cacheregistries")}`;
}

function fromTheApi(resource: string): string {
  return `the Kubernetes API has not given the gateway its ${resource}; why is in the gateway's log ("informer lost contact"): the API must be reachable, and let the gateway's ServiceAccount list and watch ${resource}`;
}

/** Why a gateway that knows no clients is not ready. */
export function clientsAwaited(seen: MountSeen): string {
  return `the clients are not loaded yet: ${lacking(seen, ACCESS_FILE)}`;
}

/** Why a gateway that is to serve over TLS, and has nothing to do it with, is not ready. */
export function certificateAwaited(seen: MountSeen): string {
  return `there is no certificate to serve with yet (spec.inCluster.tls): ${lacking(seen, `${TLS_CERT_FILE} and ${TLS_KEY_FILE}`)}`;
}

/** Which Secret the operator could not make them from stands in its conditions: the gateway may not see Secrets. */
function lacking({ registry, directory, unusable }: MountSeen, files: string): string {
  const conditions = `kubectl describe cacheregistry ${registry}`;
  return unusable
    ? `${directory} has no ${files} that can be used, the gateway's log says why, and ${conditions} what the operator makes it from`
    : `${directory} has no ${files}; the operator writes there, and where it cannot, as while a Secret is missing, ${conditions} says why`;
}
