import type { Clock } from "../../adapters/clock.ts";
import { isKubeError, type KubeError } from "../../adapters/kube/errors.ts";
import type { KubeClient, KubeObject } from "../../adapters/kube/types.ts";
import type { Log } from "../../adapters/telemetry/log.ts";
import { desiredObjects, manifestKey } from "../../core/cacheregistry/desired.ts";
import { type Changes, changes } from "../../core/cacheregistry/diff.ts";
import { UPSTREAM_ANNOTATION } from "../../core/cacheregistry/labels.ts";
import { proxyNames } from "../../core/cacheregistry/names.ts";
import { readStorageCredentials, storageSecretName } from "../../core/cacheregistry/storage.ts";
import type { InClusterStorage, Installation, Manifest } from "../../core/cacheregistry/types.ts";
import type { PasswordHashes } from "../../core/gatewayaccess/passwords.ts";
import { accessDocument } from "../../core/gatewayaccess/resolve.ts";
import type { CacheRegistryObject } from "../../crds/index.ts";
import type { Progress } from "../providers/provider.ts";
import { managedResource, type Objects, type SecretObject } from "../resources.ts";
import { removable } from "./readiness.ts";
import { canRoll, type ExaminedUpstream } from "./upstreams.ts";

/** What provisioning works with. */
export interface ProvisionDependencies {
  readonly client: Pick<KubeClient, "apply" | "delete">;
  readonly installation: Installation;
  /** What is live of everything that a CacheRegistry leads to, of all kinds. */
  readonly managed: () => readonly KubeObject[];
  readonly secrets: Pick<Objects<SecretObject>, "get">;
  /** Of clients' passwords, remembered over all passes: making one is slow on purpose. */
  readonly hashes: PasswordHashes;
  readonly clock: Clock;
  readonly log: Log;
}

const DONE: Progress = { done: true };

function ownedBy(registry: CacheRegistryObject, objects: readonly KubeObject[]): readonly KubeObject[] {
  return objects.filter(({ metadata }) => metadata.ownerReferences?.some(({ uid }) => uid === registry.metadata.uid));
}

/** What Secrets say of the storage, or why they can't be used. */
function storageOf(storage: InClusterStorage, { secrets, installation }: ProvisionDependencies) {
  const name = storageSecretName(storage);
  return readStorageCredentials(
    storage,
    name === undefined ? undefined : secrets.get(`${installation.namespace}/${name}`),
  );
}

async function accessOf(
  { metadata, spec }: CacheRegistryObject,
  { secrets, installation, hashes, clock }: ProvisionDependencies,
) {
  const { namespace } = installation;
  const { inCluster = { pullHost: "" } } = spec;
  const secret = (name: string) => secrets.get(`${namespace}/${name}`);
  const { upstreams = [] } = spec;
  const now = clock.now();
  return await accessDocument({ registry: metadata, spec: inCluster, upstreams, namespace, secret, hashes, now });
}

/**
 * Makes what is live for an in-cluster registry what it should be. Only differences are written: at rest there are none. What can't be
 * made because of a Secret is told, and everything else is made; proxies whose storage can't be opened are left as they are. So is a
 * proxy of which the API server refuses an object (a claim beyond the quota): everything else is made, and then this throws the first refusal.
 */
export async function provision(
  registry: CacheRegistryObject,
  upstreams: readonly ExaminedUpstream[],
  dependencies: ProvisionDependencies,
  signal: AbortSignal,
): Promise<Progress> {
  const { inCluster } = registry.spec;
  if (inCluster === undefined) return DONE;
  const { installation } = dependencies;
  const storage = storageOf(inCluster.storage, dependencies);
  const access = await accessOf(registry, dependencies);
  const isOpen = storage.kind !== "problem";
  const good = upstreams.flatMap((one) => (one.kind === "upstream" && isOpen && canRoll(one) ? [one.upstream] : []));
  const inputs = { access, ...(storage.kind === "credentials" && { storageCredentials: storage.credentials }) };
  const desired = desiredObjects(registry.metadata, inCluster, good, installation, inputs);
  const live = ownedBy(registry, dependencies.managed());
  const wanted = changes(desired, removable(live, registry.metadata.name, upstreams, isOpen));
  const { left, refusal } = await applyAll(registry.metadata.name, wanted.apply, live, dependencies, signal);
  const kept = new Set([...left].flatMap((host) => proxyNames(registry.metadata.name, host)));
  const unused = wanted.remove.filter(({ metadata }) => !kept.has(metadata.name));
  await removeAll(registry.metadata.name, unused, dependencies, signal);
  if (refusal !== undefined) throw refusal;
  const problem = storage.kind === "problem" ? storage : access.problems[0];
  return problem === undefined ? DONE : { done: false, reason: problem.reason, message: problem.message };
}

/** What came of applying: the upstreams whose proxies are left as they are, and what the API server said first. */
interface Applied {
  readonly left: ReadonlySet<string>;
  readonly refusal?: KubeError;
}

/**
 * Applies in order. A refused object of a proxy ends that proxy alone: with the rest of it Pods would wait for a claim that is missing, or
 * run with a Secret that is not theirs. A claim that is there and can't be changed holds up nothing. One of the gateway ends it all.
 */
async function applyAll(
  registry: string,
  objects: readonly Manifest[],
  live: readonly KubeObject[],
  { client, log }: ProvisionDependencies,
  signal: AbortSignal,
): Promise<Applied> {
  const existing = new Set(live.map(manifestKey));
  const left = new Set<string>();
  let refusal: KubeError | undefined;
  for (const object of objects) {
    const { kind, metadata } = object;
    const host = metadata.annotations?.[UPSTREAM_ANNOTATION];
    if (host !== undefined && left.has(host)) continue;
    try {
      await client.apply(managedResource(kind), object, { signal });
      log.info("object applied", { registry, kind, object: metadata.name });
    } catch (thrown) {
      if (host === undefined || !isKubeError(thrown, "INVALID", "FORBIDDEN")) throw thrown;
      refusal ??= thrown;
      const isUsable = kind === "PersistentVolumeClaim" && existing.has(manifestKey(object));
      if (!isUsable) left.add(host);
      log.warn(isUsable ? "claim refused, used as it is" : "object refused, the proxy is left as it is", {
        registry,
        upstream: host,
        kind,
        object: metadata.name,
        error: thrown.message,
      });
    }
  }
  return { left, ...(refusal !== undefined && { refusal }) };
}

async function removeAll(
  registry: string,
  objects: Changes["remove"],
  { client, installation, log }: ProvisionDependencies,
  signal: AbortSignal,
): Promise<void> {
  for (const { kind, metadata } of objects) {
    const { namespace = installation.namespace, uid } = metadata;
    await client.delete(managedResource(kind), metadata.name, { namespace, ...(uid !== undefined && { uid }), signal });
    log.info("object removed, nothing uses it", { registry, kind, object: metadata.name });
  }
}
