import { isKubeError } from "../adapters/kube/errors.ts";
import { Resources } from "../adapters/kube/resources.ts";
import type { KubeClient } from "../adapters/kube/types.ts";
import { ADMISSION_CONFIG_MAP, readConfig } from "../core/admission/config.ts";
import { EPOCH_KEY, nextEpoch } from "../core/cache/epoch.ts";
import { configMapData } from "./settings.ts";

/** What a flush did. */
export interface Flush {
  readonly before: string;
  readonly after: string;
  /** There was no `config-policy-controller` before. */
  readonly created: boolean;
  readonly cacheEnabled: boolean;
}

/** Sets a new epoch in `config-policy-controller`, which ends every record in the cluster; makes the ConfigMap if there is none. Throws `KubeError`. */
export async function flushCache(
  client: Pick<KubeClient, "get" | "create" | "mergePatch">,
  namespace: string,
  now: Date,
): Promise<Flush> {
  const data = await configMapData(client, namespace, ADMISSION_CONFIG_MAP);
  const { epoch: before, cacheEnabled } = readConfig(data).config;
  const after = nextEpoch(before, now);
  const change = { data: { [EPOCH_KEY]: after } };
  const created = data === undefined && (await create(client, namespace, change));
  if (!created) await client.mergePatch(Resources.configMaps, ADMISSION_CONFIG_MAP, change, { namespace });
  return { before, after, created, cacheEnabled };
}

/** Whether the ConfigMap was made here; somebody else may have been faster. */
async function create(client: Pick<KubeClient, "create">, namespace: string, content: object): Promise<boolean> {
  const object = {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: ADMISSION_CONFIG_MAP, namespace },
    ...content,
  };
  try {
    await client.create(Resources.configMaps, object);
    return true;
  } catch (thrown) {
    if (isKubeError(thrown, "ALREADY_EXISTS")) return false;
    throw thrown;
  }
}

/** What is told of a flush. */
export function flushText({ before, after, created, cacheEnabled }: Flush, namespace: string): string {
  const place = `ConfigMap ${namespace}/${ADMISSION_CONFIG_MAP}${created ? ", made for it" : ""}`;
  return [
    `Epoch ${before} -> ${after} (${EPOCH_KEY} in ${place})`,
    "No record sealed before counts any more: each image is verified anew when its next workload comes.",
    ...(cacheEnabled ? [] : ['The cache is off there: dev.chainguard.enable-cip-cache is not "true".']),
    "Where the ConfigMap is kept in Git, put the new epoch there too: the old one would make old records count again.",
  ].join("\n");
}
