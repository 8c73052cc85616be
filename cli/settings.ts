import { isKubeError } from "../adapters/kube/errors.ts";
import { Resources } from "../adapters/kube/resources.ts";
import type { KubeClient, KubeObject } from "../adapters/kube/types.ts";

interface ConfigMapObject extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

/** The data of a ConfigMap; undefined when there is none of that name. Throws `KubeError`. */
export async function configMapData(
  client: Pick<KubeClient, "get">,
  namespace: string,
  name: string,
): Promise<Readonly<Record<string, string>> | undefined> {
  try {
    const found = await client.get<ConfigMapObject>(Resources.configMaps, name, { namespace });
    return found.data ?? {};
  } catch (thrown) {
    if (isKubeError(thrown, "NOT_FOUND")) return undefined;
    throw thrown;
  }
}
