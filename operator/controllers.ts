import type { Clock } from "../adapters/clock.ts";
import type { KubeClient } from "../adapters/kube/types.ts";
import type { Log } from "../adapters/telemetry/log.ts";
import { TrustRootResolver } from "../adapters/trust/resolve.ts";
import type { Installation, Upstream } from "../core/cacheregistry/types.ts";
import { DEFAULT_CERTIFICATE_RULE } from "../core/certificates/decide.ts";
import { cacheRegistryReconciler } from "./cacheregistry/reconciler.ts";
import { Plans } from "./cacherule/plans.ts";
import { cacheRuleReconciler } from "./cacherule/reconciler.ts";
import { certificateReconciler } from "./certificates/reconciler.ts";
import type { Sources } from "./clusterimagepolicy/fetching.ts";
import { clusterImagePolicyReconciler } from "./clusterimagepolicy/reconciler.ts";
import { policyResolutionReconciler } from "./clusterimagepolicy/resolution.ts";
import type { OperatorConfig } from "./config.ts";
import type { Events } from "./events.ts";
import type { OperatorFlags } from "./flags.ts";
import { InClusterRegistry, type InClusterWorld } from "./incluster/registry.ts";
import { UpstreamHealthCache } from "./incluster/upstream-health.ts";
import { probeUpstream } from "./incluster/upstream-probe.ts";
import { parsePoliciesPage, parseRulesPage, type RulesPage } from "./pages/documents.ts";
import type { FetchPage } from "./pages/fetch.ts";
import { StatusPages } from "./pages/poll.ts";
import type { Providers } from "./providers/provider.ts";
import { RenderedProvider } from "./providers/rendered.ts";
import { runController } from "./runtime/controller.ts";
import type { RuntimeMetrics } from "./runtime/metrics.ts";
import { WorkQueue } from "./runtime/workqueue.ts";
import { sealKeyReconciler } from "./sealkeys/reconciler.ts";
import { connectTriggers, type Queues, upstreamChanged } from "./triggers.ts";
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
  readonly clock: Clock;
  readonly log: Log;
}

/** The pages of every registry's gateways: one poller each, since a page says which registry it is of. */
function gatewayPages(fetchPage: FetchPage, clock: Clock) {
  const pollers = new Map<string, StatusPages<RulesPage>>();
  return (registry: string): StatusPages<RulesPage> => {
    const known = pollers.get(registry);
    if (known !== undefined) return known;
    const poller = new StatusPages("/-/rules", (document) => parseRulesPage(document, registry), fetchPage, clock);
    pollers.set(registry, poller);
    return poller;
  };
}

function reconcilers(surroundings: Surroundings, queues: Queues, signal: AbortSignal) {
  const { client, config, installation, world, events, fetchPage, clock, log } = surroundings;
  const { namespace, pagesPort: statusPort, healthyMs, unhealthyMs, pendingMs } = config;
  const resyncMs = surroundings.flags.trustRootResyncMs;
  const { rules, registries, secrets, deployments, endpointSlices, policies } = world;
  const pagesOf = gatewayPages(fetchPage, clock);
  const onChange = ({ host }: Upstream) => upstreamChanged(world, queues, host);
  const health = new UpstreamHealthCache({ probe: probeUpstream, healthyMs, unhealthyMs, clock, signal, onChange });
  const askGateways: InClusterWorld["askGateways"] = (registry, endpoints, stop) =>
    pagesOf(registry).ask(endpoints, stop);
  const configurations = () => world.webhookConfigurations();
  const intervals = { healthyMs, unhealthyMs, pendingMs, driftMs: config.driftMs, patienceMs: config.patienceMs };
  const common = { client, namespace, secrets, clock, log, events, intervals };
  const managed = () => world.managed();
  const inCluster = { ...common, installation, statusPort, deployments, endpointSlices, health, managed, askGateways };
  const providers: Providers = new Map([["inCluster", new RenderedProvider(new InClusterRegistry(inCluster))]]);
  const plans = new Plans(rules, providers);
  const policyPages = new StatusPages("/-/policies", parsePoliciesPage, fetchPage, clock);
  const sealRule = { rotateAfterSeconds: config.rotateSealKeysSeconds, keepRetiredSeconds: config.keepSealKeysSeconds };
  return {
    registries: cacheRegistryReconciler({ ...common, plans, registries, rules, providers }),
    rules: cacheRuleReconciler({ ...common, plans, rules, registries, providers }),
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
    policies: queue("clusterimagepolicy"),
    certificates: queue("certificates"),
    webhooks: queue("webhookconfigurations"),
    sealKeys: queue("sealkeys"),
    trustRoots: queue("trustroot"),
    publicGood: queue("publicgoodroot"),
    resolutions: queue("policyresolution"),
  };
  const workers = {
    registries: 2,
    rules: 4,
    policies: 2,
    certificates: 1,
    webhooks: 1,
    sealKeys: 1,
    trustRoots: 4,
    publicGood: 1,
    resolutions: 4,
  } as const;
  const all = reconcilers(surroundings, queues, signal);
  const names = Object.keys(queues) as readonly (keyof typeof queues)[];
  const running = names.map((name) =>
    runController({ queue: queues[name], reconcile: all[name], workers: workers[name], metrics, clock, log }, signal),
  );
  connectTriggers(surroundings.world, queues);
  await Promise.all(running);
}
