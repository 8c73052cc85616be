import type { KubeClient } from "../../adapters/kube/types.ts";
import type { Keyring } from "../../core/cache/keyring.ts";
import { PUBLIC_KEYS_CONFIG_MAP, PUBLIC_KEYS_FILE, writePublicJwks } from "../../core/cache/publicjwks.ts";
import type { Objects } from "../resources.ts";
import { type ConfigMapObject, writeConfigMap } from "../trustroot/configmap.ts";

/** Where the public halves of the seal keys are published. */
export interface Publication {
  readonly client: Pick<KubeClient, "get" | "create" | "replace">;
  readonly namespace: string;
  readonly configMaps: Pick<Objects<ConfigMapObject>, "get">;
}

/** Makes `entrepot-seal-keys-public` say what `keyring` holds, public parts alone. Writes, and says so, only if it differs. Throws what `writeConfigMap` throws. */
export async function publishKeyring(to: Publication, keyring: Keyring, signal: AbortSignal): Promise<boolean> {
  const address = { namespace: to.namespace, name: PUBLIC_KEYS_CONFIG_MAP };
  const known = to.configMaps.get(`${address.namespace}/${address.name}`);
  const content = { data: { [PUBLIC_KEYS_FILE]: writePublicJwks(keyring) }, annotations: {} };
  return await writeConfigMap(to.client, address, known, () => content, signal);
}
