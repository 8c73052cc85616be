import type { Clock } from "../../adapters/clock.ts";
import { Resources } from "../../adapters/kube/resources.ts";
import type { KubeClient } from "../../adapters/kube/types.ts";
import type { Log } from "../../adapters/telemetry/log.ts";
import { needsNothing, needsOf } from "../../core/policy/needs.ts";
import { RESOLVED_FIELD, type Resolution, readResolved, resolvedName } from "../../core/policy/resolved.ts";
import { mergeResolution } from "../../core/policy/resolved-merge.ts";
import type { ClusterImagePolicyObject } from "../../crds/index.ts";
import type { Objects } from "../resources.ts";
import type { Reconcile } from "../runtime/controller.ts";
import { type ConfigMapObject, isAsWanted, resolvedConfigMap } from "./configmap.ts";
import { fetchDue, namesOf, type Sources } from "./fetching.ts";
import { Schedule } from "./schedule.ts";

/** What the resolution of policies works with. */
export interface PolicyResolutionDependencies {
  readonly client: Pick<KubeClient, "apply" | "delete">;
  readonly namespace: string;
  readonly policies: Objects<ClusterImagePolicyObject>;
  /** The ConfigMaps of resolutions. */
  readonly resolutions: Objects<ConfigMapObject>;
  readonly sources: Sources;
  readonly clock: Clock;
  readonly log: Log;
  /** Between two fetches of a key that a KMS has. */
  readonly policyResyncMs: number;
}

/** What this process knows of one policy: its own last word, which an informer may not have seen yet. */
interface Known {
  readonly uid: string;
  generation: number;
  resolution: Resolution | undefined;
  readonly schedule: Schedule;
}

const LONGEST_WAIT_MS = 6 * 3600_000; // timers end at 24 days; nothing is fetched before it is due

/**
 * Fetches what policies need from outside the cluster and hands it to the webhooks, one ConfigMap per policy: at changes, at every resync,
 * and again with back-off after a failure. A failure takes nothing away (design D7). Policies that need nothing have no ConfigMap.
 */
export function policyResolutionReconciler(dependencies: PolicyResolutionDependencies): Reconcile {
  const { client, namespace, policies, resolutions, sources, clock, log } = dependencies;
  const memory = new Map<string, Known>();

  const recall = (policy: ClusterImagePolicyObject, live: ConfigMapObject | undefined): Known => {
    const { name, uid, generation } = policy.metadata;
    let known = memory.get(name);
    if (known?.uid !== uid) {
      const schedule = new Schedule({ clock, resyncMs: dependencies.policyResyncMs });
      known = { uid, generation, resolution: readResolved(live?.data?.[RESOLVED_FIELD]), schedule };
      memory.set(name, known);
    }
    if (known.generation !== generation) known.schedule.reset();
    known.generation = generation;
    return known;
  };

  return async (key, signal) => {
    const policy = policies.get(key);
    if (policy === undefined || policy.metadata.deletionTimestamp !== undefined) {
      memory.delete(key);
      return {};
    }
    const { name, uid, generation } = policy.metadata;
    const live = resolutions.get(`${namespace}/${resolvedName(uid)}`);
    const needs = needsOf(policy.spec);
    if (needsNothing(needs)) {
      memory.delete(key);
      if (live !== undefined) await client.delete(Resources.configMaps, live.metadata.name, { namespace, signal });
      return {};
    }
    const known = recall(policy, live);
    const attempts = await fetchDue(needs, known.resolution, known.schedule, sources, signal);
    const resolution = mergeResolution(known.resolution, generation, needs, attempts, clock.now());
    const failures = [...attempts.keys.values(), ...attempts.documents.values()].filter((each) => "problem" in each);
    if (failures.length > 0)
      log.warn("something that a policy needs was not fetched, trying again", {
        policy: name,
        problems: failures.slice(0, 5).map((each) => ("problem" in each ? each.problem : "")),
      });
    known.resolution = resolution;
    const wanted = resolvedConfigMap(policy, resolution, namespace);
    if (!isAsWanted(live, wanted)) await client.apply<ConfigMapObject>(Resources.configMaps, wanted, { signal });
    const next = known.schedule.nextInMs(namesOf(needs));
    return next === undefined ? {} : { requeueAfterMs: Math.min(next, LONGEST_WAIT_MS) };
  };
}
