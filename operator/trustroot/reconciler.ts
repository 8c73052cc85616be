import type { Clock } from "../../adapters/clock.ts";
import type { KubeClient } from "../../adapters/kube/types.ts";
import type { Log } from "../../adapters/telemetry/log.ts";
import type { TrustRootResolver } from "../../adapters/trust/resolve.ts";
import type { Condition } from "../../core/conditions.ts";
import { DomainError } from "../../core/errors.ts";
import { SIGSTORE_KEYS_CONFIG_MAP } from "../../core/trust/names.ts";
import { FOREIGN_FINALIZER, REASON, TRUST_ROOTS, type TrustRootObject } from "../../crds/index.ts";
import { type Events, noteReadiness } from "../events.ts";
import { letGo } from "../finalizer.ts";
import type { Objects } from "../resources.ts";
import type { Reconcile } from "../runtime/controller.ts";
import { writeStatus } from "../status.ts";
import { type ConfigMapObject, writeConfigMap } from "./configmap.ts";
import { decideTrustRootStatus } from "./decide.ts";
import { editEntries, entryOrigin, type NewEntry } from "./entries.ts";
import { type Reading, Readings } from "./readings.ts";

/** What the reconciler of TrustRoots works with. */
export interface TrustRootDependencies {
  readonly client: Pick<KubeClient, "get" | "create" | "replace" | "applyStatus" | "mergePatch">;
  readonly namespace: string;
  readonly trustRoots: Objects<TrustRootObject>;
  readonly configMaps: Pick<Objects<ConfigMapObject>, "get">;
  readonly resolver: Pick<TrustRootResolver, "resolve" | "retain">;
  readonly resyncMs: number;
  readonly events: Events;
  readonly clock: Clock;
  readonly log: Log;
}

const isLive = ({ metadata }: TrustRootObject): boolean => metadata.deletionTimestamp === undefined;

/**
 * Reconciles TrustRoots: each is read (from its keys, its own repository, or a mirror) and written into `config-sigstore-keys`, which
 * has entries of TrustRoots that exist and no others. What was good stays when a later attempt fails, and the status says so (design
 * D7). Mirrors are asked every `resyncMs`, and sooner after a failure; one that is down holds up nothing else.
 */
export function trustRootReconciler(dependencies: TrustRootDependencies): Reconcile {
  const { client, namespace, trustRoots, configMaps, resolver, clock, events, log } = dependencies;
  const readings = new Readings({ clock, resyncMs: dependencies.resyncMs });
  const address = { namespace, name: SIGSTORE_KEYS_CONFIG_MAP };
  const knownMap = () => configMaps.get(`${namespace}/${SIGSTORE_KEYS_CONFIG_MAP}`);

  /** What the ConfigMap then holds, and whether it had to be written. */
  const publish = async (fresh: NewEntry | undefined, signal: AbortSignal) => {
    const known = knownMap();
    if (known === undefined && fresh === undefined) return { before: undefined, map: undefined, wrote: false };
    let before: ConfigMapObject | undefined;
    let map: ConfigMapObject | undefined;
    const edit = (live: ConfigMapObject | undefined) => {
      before = live;
      const owners = trustRoots.list().filter(isLive);
      const content = editEntries(
        live,
        owners.map(({ metadata }) => metadata),
        fresh,
        clock.now(),
      );
      map = {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { ...address, annotations: content.annotations },
        data: content.data,
      };
      return content;
    };
    const wrote = await writeConfigMap(client, address, known, edit, signal);
    return { before, map, wrote };
  };

  const removed = async (trustRoot: TrustRootObject | undefined, signal: AbortSignal): Promise<void> => {
    const uids = new Set(
      trustRoots
        .list()
        .filter(isLive)
        .map(({ metadata }) => metadata.uid),
    );
    readings.retain(uids);
    resolver.retain(uids);
    await publish(undefined, signal);
    if (trustRoot !== undefined) await letGo(client, TRUST_ROOTS, trustRoot, FOREIGN_FINALIZER.trustRoot, signal);
  };

  const published = async (trustRoot: TrustRootObject, reading: Reading, signal: AbortSignal) => {
    const { name, uid, generation } = trustRoot.metadata;
    const { text } = reading;
    const own = (map: ConfigMapObject | undefined) => {
      const origin = entryOrigin(map, name);
      return origin?.uid === uid ? { published: origin } : {};
    };
    try {
      const fresh = text === undefined ? undefined : { name, uid, generation, text };
      const { before, map, wrote } = await publish(fresh, signal);
      const outcome = own(map);
      if (
        wrote &&
        outcome.published !== undefined &&
        own(before).published !== undefined &&
        before?.data?.[name] !== text
      ) {
        const note = "what this trust root leads to has changed, and the webhooks were given the new keys";
        events.record({ regarding: trustRoot, type: "Normal", reason: REASON.Updated, action: "Reconcile", note });
        log.info("trust root changed", { trustRoot: name, generation });
      }
      return outcome;
    } catch (thrown) {
      if (!(thrown instanceof DomainError) || thrown.code !== "CONFIG_MAP_FULL") throw thrown;
      return { ...own(knownMap()), unwritten: thrown.message };
    }
  };

  return async (key, signal) => {
    const trustRoot = trustRoots.get(key);
    if (trustRoot === undefined || !isLive(trustRoot)) {
      await removed(trustRoot, signal);
      return {};
    }
    const { uid, generation } = trustRoot.metadata;
    const read = () => resolver.resolve(uid, trustRoot.spec ?? {}, signal);
    const reading = await readings.get(uid, `${uid}/${generation}`, read, signal);
    const { problem, dueInMs } = reading;
    const outcome = { ...(await published(trustRoot, reading, signal)), ...(problem !== undefined && { problem }) };
    const status = decideTrustRootStatus(trustRoot, outcome, clock.now());
    if (await writeStatus(client, TRUST_ROOTS, trustRoot, status, signal)) {
      const before = trustRoot.status?.conditions as readonly Condition[] | undefined;
      noteReadiness(events, trustRoot, before, status.conditions as readonly Condition[] | undefined);
      if (problem !== undefined) log.warn("trust root can't be read", { trustRoot: key, generation, problem });
    }
    return { requeueAfterMs: dueInMs };
  };
}
