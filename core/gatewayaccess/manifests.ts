import type { Manifest } from "../cacheregistry/types.ts";
import { accessSecretName, authoritySecretName, CA_FILE, caConfigMapName } from "./names.ts";
import type { GatewayAccess } from "./resolve.ts";

function secret(metadata: Manifest["metadata"], name: string, files: Readonly<Record<string, string>>): Manifest {
  const data = Object.entries(files).map(([file, text]) => [file, Buffer.from(text, "utf8").toString("base64")]);
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { ...metadata, name },
    type: "Opaque",
    data: Object.fromEntries(data),
  };
}

/**
 * The Secret that is mounted into the gateway, and of a self-signed one its authority's Secret and the ConfigMap with the certificates
 * to trust. The authority comes first: what it signed is never in use without it. `metadata` is that of the registry's gateway objects.
 */
export function accessObjects(
  registry: string,
  metadata: Manifest["metadata"],
  access: GatewayAccess,
): readonly Manifest[] {
  const { authority } = access;
  const own: readonly Manifest[] =
    authority === undefined
      ? []
      : [
          secret(metadata, authoritySecretName(registry), authority.files),
          {
            apiVersion: "v1",
            kind: "ConfigMap",
            metadata: { ...metadata, name: caConfigMapName(registry) },
            data: { [CA_FILE]: authority.certificates },
          },
        ];
  return [...own, secret(metadata, accessSecretName(registry), access.files)];
}
