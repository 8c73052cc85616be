import { createHash } from "node:crypto";
import type { GatewayAccess } from "../gatewayaccess/resolve.ts";
import { backendObjects } from "./backend.ts";
import { gatewayObjects } from "./gateway.ts";
import { APPLIED_ANNOTATION } from "./labels.ts";
import type { InClusterSpec, Installation, Manifest, RegistryIdentity, StorageCredentials, Upstream } from "./types.ts";

/** Identifies an object among those of one installation. */
export function manifestKey(object: { readonly kind: string; readonly metadata: { readonly name: string } }): string {
  return `${object.kind}/${object.metadata.name}`;
}

function stamped(manifest: Manifest): Manifest {
  const hash = createHash("sha256").update(JSON.stringify(manifest)).digest("hex").slice(0, 32);
  return {
    ...manifest,
    metadata: { ...manifest.metadata, annotations: { ...manifest.metadata.annotations, [APPLIED_ANNOTATION]: hash } },
  };
}

/** What was read of Secrets that spec names. */
export interface DesiredInputs {
  readonly storageCredentials?: StorageCredentials;
  readonly access?: GatewayAccess;
}

/**
 * Everything that should exist for one in-cluster CacheRegistry: the gateway, and one proxy per used upstream (design D9), in the
 * order in which to apply them. Deterministic: equal input, equal objects. Where storage names a Secret, `storageCredentials` is what
 * `readStorageCredentials` got from it: without them there is nothing to render, and this throws.
 */
export function desiredObjects(
  registry: RegistryIdentity,
  spec: InClusterSpec,
  upstreams: readonly Upstream[],
  installation: Installation,
  { storageCredentials, access }: DesiredInputs = {},
): readonly Manifest[] {
  const ordered = [...upstreams].sort((a, b) => (a.host < b.host ? -1 : 1));
  const backends = ordered.flatMap((upstream) =>
    backendObjects(registry, spec, upstream, installation, storageCredentials),
  );
  return [...backends, ...gatewayObjects(registry, spec, installation, access)].map(stamped);
}
