import { isKubeError } from "../../adapters/kube/errors.ts";
import { Resources } from "../../adapters/kube/resources.ts";
import type { KubeClient } from "../../adapters/kube/types.ts";
import { endpointOf } from "../../adapters/registry/endpoint.ts";
import { isRegistryError } from "../../adapters/registry/errors.ts";
import { Transport } from "../../adapters/registry/transport.ts";
import { judgeAnswer, type Probe } from "../../core/reachability/reachable.ts";
import type { CacheRegistryObject } from "../../crds/index.ts";
import type { ConfigMapObject } from "../trustroot/configmap.ts";

const DEADLINE_MS = 5_000;
const BODY_LIMIT = 16 * 1024;

/** Asks a host for `/v2/`. Rejects only when `signal` aborts. */
export type ProbeHost = (host: string, authority: string | undefined, signal: AbortSignal) => Promise<Probe>;

/**
 * Asks `host` as nodes do, on a connection of its own, since a kept one says nothing of names and certificates: one request within five
 * seconds, without credentials, and no redirect followed. Nodes may trust more than we do: `authority` is trusted beside the system's.
 */
export const probeHost: ProbeHost = async (host, authority, signal) => {
  const transport = new Transport({ attemptMs: DEADLINE_MS, ...(authority !== undefined && { ca: authority }) });
  const target = { registry: host, repository: "v2" };
  try {
    const { status } = await transport.send({
      operation: "base",
      target,
      method: "GET",
      url: new URL("/v2/", endpointOf(host).base),
      headers: {},
      limit: BODY_LIMIT,
      reach: "loopback",
      signal,
    });
    return judgeAnswer(status);
  } catch (thrown) {
    signal.throwIfAborted();
    if (!isRegistryError(thrown)) throw thrown;
    return { reached: false, why: thrown.message.replace(`${target.registry}/${target.repository}: `, "") };
  } finally {
    await transport.close();
  }
};

/** The certificates (PEM) that a CacheRegistry says its host is trusted by, beside the system's; undefined where it names none that are there. */
export async function authorityOf(
  { spec }: CacheRegistryObject,
  { client, namespace }: { readonly client: Pick<KubeClient, "get">; readonly namespace: string },
  signal: AbortSignal,
): Promise<string | undefined> {
  const reference = spec.harbor?.caBundleRef;
  if (reference === undefined) return undefined;
  const options = { namespace, signal };
  const found = await client
    .get<ConfigMapObject>(Resources.configMaps, reference.name, options)
    .catch((thrown: unknown) => {
      if (isKubeError(thrown, "NOT_FOUND")) return undefined;
      throw thrown;
    });
  return found?.data?.[reference.key];
}
