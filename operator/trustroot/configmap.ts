import { isDeepStrictEqual } from "node:util";
import { isKubeError } from "../../adapters/kube/errors.ts";
import { Resources } from "../../adapters/kube/resources.ts";
import type { KubeClient, KubeObject } from "../../adapters/kube/types.ts";
import { DomainError } from "../../core/errors.ts";
import { LABEL, PRODUCT } from "../../crds/index.ts";

/** A ConfigMap as the API server gives it. */
export interface ConfigMapObject extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

/** What is wanted of a ConfigMap. An annotation that is undefined is taken away; those not named stay. */
export interface ConfigMapContent {
  readonly data: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string | undefined>>;
}

/** Gives the content wanted from what is there; `undefined` when there is no ConfigMap. Pure: it is called again after a conflict. */
export type EditConfigMap = (live: ConfigMapObject | undefined) => ConfigMapContent;

export interface ConfigMapAddress {
  readonly namespace: string;
  readonly name: string;
}

const ATTEMPTS = 5;
const LABELS = { [LABEL.name]: PRODUCT, [LABEL.managedBy]: PRODUCT };

function edited(address: ConfigMapAddress, live: ConfigMapObject | undefined, edit: EditConfigMap): ConfigMapObject {
  const { data, annotations } = edit(live);
  const all = Object.entries({ ...live?.metadata.annotations, ...annotations });
  const kept = all.filter((entry): entry is [string, string] => entry[1] !== undefined);
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: {
      ...(live?.metadata ?? address),
      labels: { ...live?.metadata.labels, ...LABELS },
      annotations: Object.fromEntries(kept),
    },
    data,
  };
}

function isSame(live: ConfigMapObject | undefined, wanted: ConfigMapObject): boolean {
  const { labels = {}, annotations = {} } = live?.metadata ?? {};
  return (
    live !== undefined &&
    isDeepStrictEqual(live.data ?? {}, wanted.data) &&
    isDeepStrictEqual(
      { labels, annotations },
      { labels: wanted.metadata.labels, annotations: wanted.metadata.annotations },
    )
  );
}

/**
 * Makes a ConfigMap what `edit` says, against `known` (an informer's memory) first: where nothing would change nothing is asked. A
 * write is never over a version that was not read; after a conflict `edit` sees the new one. Says whether it wrote. Throws `KubeError`,
 * CONFIG_MAP_CONTENDED after five conflicts in a row, and what `edit` throws.
 */
export async function writeConfigMap(
  client: Pick<KubeClient, "get" | "create" | "replace">,
  address: ConfigMapAddress,
  known: ConfigMapObject | undefined,
  edit: EditConfigMap,
  signal: AbortSignal,
): Promise<boolean> {
  const { namespace, name } = address;
  let live = known;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const wanted = edited(address, live, edit);
    if (isSame(live, wanted)) return false;
    try {
      if (live === undefined) await client.create(Resources.configMaps, wanted, { signal });
      else await client.replace(Resources.configMaps, wanted, { signal });
      return true;
    } catch (thrown) {
      if (!isKubeError(thrown, "CONFLICT", "ALREADY_EXISTS", "NOT_FOUND")) throw thrown;
    }
    live = await client
      .get<ConfigMapObject>(Resources.configMaps, name, { namespace, signal })
      .catch((thrown: unknown) => {
        if (isKubeError(thrown, "NOT_FOUND")) return undefined;
        throw thrown;
      });
  }
  throw new DomainError("CONFIG_MAP_CONTENDED", `ConfigMap ${namespace}/${name}: somebody else keeps changing it`);
}
