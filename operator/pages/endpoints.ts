import type { EndpointSliceObject, Objects } from "../resources.ts";

/** A replica that takes traffic, and where its status pages are. */
export interface Endpoint {
  /** For messages: the Pod's name, or the address where there is none. */
  readonly name: string;
  /** `http://address:port`, without a path. */
  readonly origin: string;
}

export const SERVICE_NAME_LABEL = "kubernetes.io/service-name";
const STATUS_PORT_NAME = "status";

function origin(address: string, addressType: string, port: number): string {
  return `http://${addressType === "IPv6" ? `[${address}]` : address}:${port}`;
}

/**
 * The ready replicas behind a Service, each once. A condition `ready` that is absent means true (discovery.k8s.io/v1). `statusPort` is
 * where the pages are, unless the slice has a port called `status`.
 */
export function readyEndpoints(
  slices: Objects<EndpointSliceObject>,
  service: string,
  statusPort: number,
): readonly Endpoint[] {
  const found = new Map<string, Endpoint>();
  for (const slice of slices.list()) {
    if (slice.metadata.labels?.[SERVICE_NAME_LABEL] !== service || slice.addressType === "FQDN") continue;
    const port = slice.ports?.find(({ name }) => name === STATUS_PORT_NAME)?.port ?? statusPort;
    for (const endpoint of slice.endpoints ?? []) {
      const [address] = endpoint.addresses;
      if (address === undefined || endpoint.conditions?.ready === false) continue;
      // One Pod of a dual-stack Service is in two slices.
      const name = endpoint.targetRef?.name ?? `${address}:${port}`;
      if (!found.has(name)) found.set(name, { name, origin: origin(address, slice.addressType, port) });
    }
  }
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}
