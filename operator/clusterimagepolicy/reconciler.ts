import type { Clock } from "../../adapters/clock.ts";
import type { KubeClient, KubeObject } from "../../adapters/kube/types.ts";
import { type Condition, findCondition } from "../../core/conditions.ts";
import { needsOf } from "../../core/policy/needs.ts";
import { RESOLVED_FIELD, readResolved, resolvedName } from "../../core/policy/resolved.ts";
import { WEBHOOK_SERVICE } from "../../core/webhookconfig/desired.ts";
import {
  CLUSTER_IMAGE_POLICIES,
  type ClusterImagePolicyObject,
  CONDITION,
  FOREIGN_FINALIZER,
} from "../../crds/index.ts";
import { type Events, noteReadiness } from "../events.ts";
import { letGo } from "../finalizer.ts";
import type { PoliciesPage } from "../pages/documents.ts";
import { readyEndpoints } from "../pages/endpoints.ts";
import type { StatusPages } from "../pages/poll.ts";
import type { EndpointSliceObject, Objects } from "../resources.ts";
import type { Reconcile } from "../runtime/controller.ts";
import { writeStatus } from "../status.ts";
import { letThrough } from "../webhookconfigurations/reads.ts";
import type { ConfigMapObject } from "./configmap.ts";
import { decidePolicyStatus } from "./decide.ts";

/** What the reconciler of ClusterImagePolicies works with. */
export interface ClusterImagePolicyDependencies {
  readonly client: Pick<KubeClient, "applyStatus" | "mergePatch">;
  readonly namespace: string;
  readonly policies: Objects<ClusterImagePolicyObject>;
  /** What was resolved for policies: `policyResolutionReconciler` writes it, and here it is read. */
  readonly resolutions: Objects<ConfigMapObject>;
  readonly endpointSlices: Objects<EndpointSliceObject>;
  readonly pages: Pick<StatusPages<PoliciesPage>, "ask">;
  readonly statusPort: number;
  /** The live webhook configurations of ours. */
  readonly configurations: () => readonly KubeObject[];
  readonly events: Events;
  readonly clock: Clock;
  readonly intervals: { readonly pendingMs: number; readonly healthyMs: number };
}

/** Reconciles the status of ClusterImagePolicies: Ready when, and only when, every webhook replica enforces the current generation (design D8). */
export function clusterImagePolicyReconciler(dependencies: ClusterImagePolicyDependencies): Reconcile {
  const { client, clock, events, intervals } = dependencies;
  return async (key, signal) => {
    const policy = dependencies.policies.get(key);
    if (policy === undefined) return {};
    if (policy.metadata.deletionTimestamp !== undefined) {
      await letGo(client, CLUSTER_IMAGE_POLICIES, policy, FOREIGN_FINALIZER.policy, signal);
      return {};
    }
    const endpoints = readyEndpoints(dependencies.endpointSlices, WEBHOOK_SERVICE, dependencies.statusPort);
    const answers = await dependencies.pages.ask(endpoints, signal);
    const resolved = dependencies.resolutions.get(`${dependencies.namespace}/${resolvedName(policy.metadata.uid)}`);
    const resolution = readResolved(resolved?.data?.[RESOLVED_FIELD]);
    const isLetThrough = letThrough(policy, dependencies.configurations());
    const { namespace } = dependencies;
    const facts = { policy, answers, needs: needsOf(policy.spec), resolution, isLetThrough, namespace };
    const status = decidePolicyStatus(facts, clock.now());
    const after = (status.conditions ?? []) as readonly Condition[];
    if (await writeStatus(client, CLUSTER_IMAGE_POLICIES, policy, status, signal)) {
      noteReadiness(events, policy, policy.status?.conditions as readonly Condition[] | undefined, after);
    }
    const isReady = findCondition(after, CONDITION.Ready)?.status === "True";
    return { requeueAfterMs: isReady ? intervals.healthyMs : intervals.pendingMs };
  };
}
