import { isDeepStrictEqual } from "node:util";
import type { Change } from "../adapters/kube/store.ts";
import type { KubeObject } from "../adapters/kube/types.ts";
import { gatewayName } from "../core/cacheregistry/names.ts";
import { secretNames } from "../core/cacheregistry/secretnames.ts";
import { conditionIsTrue } from "../core/cacherule/servable.ts";
import { normaliseHost } from "../core/image/reference.ts";
import { WEBHOOK_SERVICE } from "../core/webhookconfig/desired.ts";
import { covers, READS_NOTHING, readsOf } from "../core/webhookconfig/reads.ts";
import { ANNOTATION, type CacheRegistryObject, type CacheRuleObject, CONDITION } from "../crds/index.ts";
import { CERTIFICATES_SECRET } from "./certificates/reconciler.ts";
import { specChanged } from "./changes.ts";
import { ownerOf as policyOf } from "./clusterimagepolicy/configmap.ts";
import { SERVICE_NAME_LABEL } from "./pages/endpoints.ts";
import { connectReachabilityTriggers } from "./reachability/triggers.ts";
import type { DeploymentObject, SecretObject } from "./resources.ts";
import type { WorkQueue } from "./runtime/workqueue.ts";
import { SEAL_KEYS_SECRET } from "./sealkeys/reconciler.ts";
import { connectTrustTriggers } from "./trustroot/triggers.ts";
import type { World } from "./world.ts";

/** One queue per reconciler. Those of singletons take any key. */
export type Queues = Readonly<
  Record<
    | "registries"
    | "rules"
    | "refresh"
    | "policies"
    | "certificates"
    | "webhooks"
    | "sealKeys"
    | "trustRoots"
    | "publicGood"
    | "resolutions"
    | "reachability",
    Pick<WorkQueue, "add" | "addAfter">
  >
>;

/** Webhook replicas learn of a Secret when we do: they are asked again once they must have compiled it. */
const COMPILE_MS = 2_000;

export const SINGLETON = "singleton";

function ownerName(object: KubeObject | undefined): string | undefined {
  return object?.metadata.ownerReferences?.find(({ kind }) => kind === "CacheRegistry")?.name;
}

/** Says which keys are due when an upstream began or ceased to answer: its rules, and the registries. */
export function upstreamChanged(world: World, queues: Queues, host: string): void {
  for (const { metadata } of world.registries.list()) queues.registries.add(metadata.name);
  for (const { metadata, spec } of world.rules.list()) {
    if (normaliseHost(spec.source.split("/", 1)[0] ?? "") === host) queues.rules.add(metadata.name);
  }
}

/** Whether somebody asked for a look at everything now, by setting or changing the annotation. */
function isAskedFor({ before, after }: Change<CacheRegistryObject>): boolean {
  const asked = (object?: CacheRegistryObject) => object?.metadata.annotations?.[ANNOTATION.reconcileAt];
  return asked(after) !== undefined && asked(after) !== asked(before);
}

/** Whether what rules of a product share was made, or got well or ill. */
function hasOtherUpstreams({ before, after }: Change<CacheRegistryObject>): boolean {
  return !isDeepStrictEqual(before?.status?.upstreams, after?.status?.upstreams);
}

/** Says which keys are due when something changes. Handlers only add keys: what happened is read anew by the reconcilers. */
export function connectTriggers(world: World, queues: Queues): void {
  const rulesOf = (registry: string, wanted: (rule: CacheRuleObject) => boolean = () => true) => {
    for (const rule of world.rules.list())
      if (rule.spec.registryRef.name === registry && wanted(rule)) queues.rules.add(rule.metadata.name);
  };
  const allRegistries = () => {
    for (const { metadata } of world.registries.list()) queues.registries.add(metadata.name);
  };

  world.rules.subscribe((change) => {
    queues.rules.add(change.key);
    queues.refresh.add(change.key); // one that was not served may be now
    const rule = change.after ?? change.before;
    if (rule === undefined || !specChanged(change)) return;
    queues.registries.add(rule.spec.registryRef.name);
    // Others may get what this rule held, or had before it lost it.
    rulesOf(rule.spec.registryRef.name, (other) => !conditionIsTrue(other, CONDITION.Accepted));
  });

  world.registries.subscribe((change) => {
    if (specChanged(change)) {
      allRegistries(); // two may be the same in their product, and the rules of one wait for the other
      for (const { metadata } of world.rules.list()) queues.rules.add(metadata.name);
      return;
    }
    queues.registries.add(change.key);
    if (isAskedFor(change) || hasOtherUpstreams(change)) rulesOf(change.key);
  });

  world.secrets.subscribe((change) => {
    const secret: SecretObject | undefined = change.after ?? change.before;
    const name = secret?.metadata.name;
    const owner = ownerName(secret);
    if (name === CERTIFICATES_SECRET) {
      queues.certificates.add(SINGLETON);
      queues.webhooks.add(SINGLETON);
    }
    if (name === SEAL_KEYS_SECRET) queues.sealKeys.add(SINGLETON);
    if (owner !== undefined) return queues.registries.add(owner);
    for (const { metadata, spec } of world.policies.list()) {
      const keys = spec?.authorities?.flatMap(({ key, keyless }) => [key, keyless?.["ca-cert"]]) ?? [];
      if (keys.some((key) => key?.secretRef?.name === name)) queues.policies.addAfter(metadata.name, COMPILE_MS);
    }
    for (const { metadata, spec } of world.registries.list()) {
      if (name === undefined || !secretNames(spec).has(name)) continue;
      queues.registries.add(metadata.name);
      rulesOf(metadata.name);
    }
  });

  world.deployments.subscribe(({ before, after }) => {
    const owner = ownerName(after ?? before);
    if (owner === undefined) return;
    queues.registries.add(owner);
    const available = (deployment?: DeploymentObject) => (deployment?.status?.availableReplicas ?? 0) > 0;
    if (available(before) !== available(after)) rulesOf(owner);
  });

  for (const informer of world.others) {
    informer.subscribe(({ before, after }) => {
      const owner = ownerName(after ?? before);
      if (owner !== undefined) queues.registries.add(owner);
    });
  }

  world.endpointSlices.subscribe(({ before, after }) => {
    const service = (after ?? before)?.metadata.labels?.[SERVICE_NAME_LABEL];
    if (service === WEBHOOK_SERVICE)
      for (const { metadata } of world.policies.list()) queues.policies.add(metadata.name);
    for (const { metadata } of world.registries.list())
      if (service === gatewayName(metadata.name)) rulesOf(metadata.name);
  });

  world.policies.subscribe((change) => {
    queues.policies.add(change.key);
    queues.webhooks.add(SINGLETON); // what policies read of objects stands there; less only when their status says so
    if (specChanged(change)) queues.resolutions.add(change.key);
  });

  world.resolutions.subscribe(({ before, after }) => {
    const policy = policyOf(after ?? before);
    if (policy === undefined) return;
    queues.resolutions.add(policy);
    queues.policies.addAfter(policy, COMPILE_MS);
  });

  for (const informer of [...world.configurations, world.rewriting]) {
    informer.subscribe(() => {
      queues.webhooks.add(SINGLETON);
      queues.certificates.add(SINGLETON);
      for (const policy of world.policies.list())
        if (!covers(READS_NOTHING, readsOf(policy))) queues.policies.add(policy.metadata.name);
    });
  }

  world.publicSealKeys.subscribe(() => queues.sealKeys.add(SINGLETON));

  connectTrustTriggers(world, queues);
  connectReachabilityTriggers(world, queues.reachability);
  world.admissionConfig.subscribe(() => queues.webhooks.add(SINGLETON)); // there is a configuration for rewriting, or none

  for (const queue of [queues.certificates, queues.webhooks, queues.sealKeys]) queue.add(SINGLETON);
}
