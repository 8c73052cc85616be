import type { Clock } from "../adapters/clock.ts";
import type { KubeClient } from "../adapters/kube/types.ts";
import type { Log } from "../adapters/telemetry/log.ts";
import { TrustRootResolver } from "../adapters/trust/resolve.ts";
import type { Installation, Upstream } from "../core/cacheregistry/types.ts";
import { DEFAULT_CERTIFICATE_RULE } from "../core/certificates/decide.ts";
import { cacheReconcilers } from "./caches.ts";
import { certificateReconciler } from "./certificates/reconciler.ts";
import type { Sources } from "./clusterimagepolicy/fetching.ts";
import { clusterImagePolicyReconciler } from "./clusterimagepolicy/reconciler.ts";
import { policyResolutionReconciler } from "./clusterimagepolicy/resolution.ts";
import type { OperatorConfig } from "./config.ts";
import type { Events } from "./events.ts";
import type { OperatorFlags } from "./flags.ts";
import { parsePoliciesPage } from "./pages/documents.ts";
import type { FetchPage } from "./pages/fetch.ts";
import { StatusPages } from "./pages/poll.ts";
import type { RefreshMetrics } from "./refresh/metrics.ts";
import { runController } from "./runtime/controller.ts";
import type { RuntimeMetrics } from "./runtime/metrics.ts";
import { WorkQueue } from "./runtime/workqueue.ts";
import { sealKeyReconciler } from "./sealkeys/reconciler.ts";
import { connectTriggers, upstreamChanged } from "./triggers.ts";
import { publicGoodReconciler } from "./trustroot/publicgood.ts";
import { trustRootReconciler } from "./trustroot/reconciler.ts";
import type { PublicGoodSource } from "./trustroot/source.ts";
import { webhookConfigurationReconciler } from "./webhookconfigurations/reconciler.ts";
import type { World } from "./world.ts";

/** What the controllers share. */
export interface Surroundings {
  readonly client: KubeClient;
  readonly config: OperatorConfig;
  readonly flags: OperatorFlags;
  readonly publicGood: PublicGoodSource;
  /** Where what policies need from outside the cluster comes from. */
  readonly sources: Sources;
  readonly installation: Installation;
  readonly world: World;
  readonly events: Events;
  readonly fetchPage: FetchPage;
  readonly metrics: RuntimeMetrics;
  readonly refreshMetrics: RefreshMetrics;
  readonly clock: Clock;
  readonly log: Log;
}

/** Pulling an image through a cache takes as long as the upstream is slow. */
const REFRESH_DEADLINE_MS = 45 * 60_000;

function reconcilers(surroundings: Surroundings) {
  const { client, config, world, events, fetchPage, clock, log } = surroundings;
  const { namespace, pagesPort: statusPort, healthyMs, unhealthyMs, pendingMs } = config;
  const resyncMs = surroundings.flags.trustRootResyncMs;
  const { secrets, endpointSlices, policies } = world;
  const configurations = () => world.webhookConfigurations();
  const intervals = { healthyMs, unhealthyMs, pendingMs };
  const common = { client, namespace, secrets, clock, log, events, intervals };
  const policyPages = new StatusPages("/-/policies", parsePoliciesPage, fetchPage, clock);
  const sealRule = { rotateAfterSeconds: config.rotateSealKeysSeconds, keepRetiredSeconds: config.keepSealKeysSeconds };
  return {
    policies: clusterImagePolicyReconciler({
      ...common,
      policies,
      resolutions: world.resolutions,
      endpointSlices,
      statusPort,
      pages: policyPages,
      configurations,
    }),
    resolutions: policyResolutionReconciler({
      ...common,
      policies,
      resolutions: world.resolutions,
      sources: surroundings.sources,
      policyResyncMs: surroundings.flags.policyResyncMs,
    }),
    certificates: certificateReconciler({
      ...common,
      configurations,
      configurationCount: world.configurations.length,
      rule: DEFAULT_CERTIFICATE_RULE,
    }),
    webhooks: webhookConfigurationReconciler({
      ...common,
      servicePort: config.webhookServicePort,
      scope: config.enforcement,
      policies,
      rewriteImages: () => world.rewriteImages(),
      configurations,
    }),
    sealKeys: sealKeyReconciler({ ...common, configMaps: world.publicSealKeys, rule: sealRule }),
    trustRoots: trustRootReconciler({
      ...common,
      resyncMs,
      trustRoots: world.trustRoots,
      configMaps: world.sigstoreKeys,
      resolver: new TrustRootResolver(),
    }),
    publicGood: publicGoodReconciler({
      ...common,
      resyncMs,
      configMaps: world.publicGoodRoot,
      source: surroundings.publicGood,
    }),
  };
}

/** Runs every controller until `signal` aborts, and resolves when their work has stopped. `world` must be synced. */
export async function runControllers(surroundings: Surroundings, signal: AbortSignal): Promise<void> {
  const { metrics, clock, log } = surroundings;
  const queue = (name: string) => new WorkQueue({ name, metrics, clock });
  const queues = {
    registries: queue("cacheregistry"),
    rules: queue("cacherule"),
    refresh: queue("refresh"),
    policies: queue("clusterimagepolicy"),
    certificates: queue("certificates"),
    webhooks: queue("webhookconfigurations"),
    sealKeys: queue("sealkeys"),
    trustRoots: queue("trustroot"),
    publicGood: queue("publicgoodroot"),
    resolutions: queue("policyresolution"),
    reachability: queue("reachability"),
  };
  const workers = {
    registries: 2,
    rules: 4,
    refresh: 4,
    policies: 2,
    certificates: 1,
    webhooks: 1,
    sealKeys: 1,
    trustRoots: 4,
    publicGood: 1,
    resolutions: 4,
    reachability: 8,
  } as const;
  const onUpstreamChange = ({ host }: Upstream) => upstreamChanged(surroundings.world, queues, host);
  const { close, ...caches } = cacheReconcilers({ ...surroundings, onUpstreamChange }, signal);
  const all = { ...reconcilers(surroundings), ...caches };
  const names = Object.keys(queues) as readonly (keyof typeof queues)[];
  const running = names.map((name) => {
    const deadline = name === "refresh" ? { deadlineMs: REFRESH_DEADLINE_MS } : {};
    const options = { queue: queues[name], reconcile: all[name], workers: workers[name], metrics, clock, log };
    return runController({ ...options, ...deadline }, signal);
  });
  connectTriggers(surroundings.world, queues);
  try {
    await Promise.all(running);
  } finally {
    await close();
  }
}
