import { gatewayPlace } from "../adapters/caches/gateway.ts";
import type { Clock } from "../adapters/clock.ts";
import type { KubeClient } from "../adapters/kube/types.ts";
import type { Log } from "../adapters/telemetry/log.ts";
import type { Installation, Upstream } from "../core/cacheregistry/types.ts";
import { PasswordHashes } from "../core/gatewayaccess/passwords.ts";
import type { Provider } from "../crds/index.ts";
import { cacheRegistryReconciler } from "./cacheregistry/reconciler.ts";
import { Plans } from "./cacherule/plans.ts";
import { cacheRuleReconciler } from "./cacherule/reconciler.ts";
import type { OperatorConfig } from "./config.ts";
import type { Events } from "./events.ts";
import { InClusterRegistry } from "./incluster/registry.ts";
import { UpstreamHealthCache } from "./incluster/upstream-health.ts";
import { probeUpstream } from "./incluster/upstream-probe.ts";
import { resolveUpstream } from "./incluster/upstreams.ts";
import { parseRulesPage, type RulesPage } from "./pages/documents.ts";
import type { FetchPage } from "./pages/fetch.ts";
import { StatusPages } from "./pages/poll.ts";
import { ArtifactRegistryProduct } from "./providers/artifactregistry.ts";
import { AzureProduct } from "./providers/azure.ts";
import { EcrProduct } from "./providers/ecr.ts";
import { HarborProduct } from "./providers/harbor.ts";
import { providerFor } from "./providers/lookup.ts";
import { OwnDistributionRegistry } from "./providers/owndistribution.ts";
import { ProductProvider } from "./providers/product.ts";
import type { CacheProvider, ProductContext, Providers } from "./providers/provider.ts";
import { RenderedProvider } from "./providers/rendered.ts";
import { ZotRegistry } from "./providers/zot.ts";
import { authorityOf, probeHost } from "./reachability/probe.ts";
import { reachabilityReconciler } from "./reachability/reconciler.ts";
import { RegistryDoors } from "./refresh/doors.ts";
import type { RefreshMetrics } from "./refresh/metrics.ts";
import { refreshReconciler } from "./refresh/reconciler.ts";
import type { Reconcile } from "./runtime/controller.ts";
import type { World } from "./world.ts";

/** What the reconcilers of caches share. */
export interface CacheSurroundings {
  readonly client: KubeClient;
  readonly config: OperatorConfig;
  readonly installation: Installation;
  readonly world: World;
  readonly events: Events;
  readonly fetchPage: FetchPage;
  readonly refreshMetrics: RefreshMetrics;
  readonly clock: Clock;
  readonly log: Log;
  /** Called when an upstream began or ceased to answer. */
  readonly onUpstreamChange: (upstream: Upstream) => void;
}

/** Between two probes of the host that nodes pull from: 15 s by default. */
const probeMs = ({ unhealthyMs }: OperatorConfig): number => 3 * unhealthyMs;

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

/** Every provider. The SDK of a product is loaded when the first registry of its kind is looked at, not here. */
function createProviders(surroundings: CacheSurroundings, health: UpstreamHealthCache): Providers {
  const { client, config, installation, world, fetchPage, clock, log } = surroundings;
  const { secrets, deployments, endpointSlices } = world;
  const { namespace, pagesPort: statusPort } = config;
  const pagesOf = gatewayPages(fetchPage, clock);
  const context: ProductContext = { namespace, secrets, client, clock, log };
  const inCluster = new InClusterRegistry({
    client,
    namespace,
    installation,
    statusPort,
    secrets,
    deployments,
    endpointSlices,
    health,
    hashes: new PasswordHashes(),
    clock,
    log,
    managed: () => world.managed(),
    askGateways: (registry, endpoints, stop) => pagesOf(registry).ask(endpoints, stop),
  });
  const { authorityHost } = config.kms.azure;
  const all: readonly CacheProvider[] = [
    new RenderedProvider(inCluster),
    new RenderedProvider(new ZotRegistry({ ...context, client, health })),
    new RenderedProvider(new OwnDistributionRegistry({ ...context, client, health })),
    new ProductProvider(new AzureProduct(context, authorityHost === undefined ? {} : { authorityHost })),
    new ProductProvider(new EcrProduct(context)),
    new ProductProvider(new ArtifactRegistryProduct(context)),
    new ProductProvider(new HarborProduct(context)),
  ];
  return new Map<Provider, CacheProvider>(all.map((provider) => [provider.name, provider]));
}

function createDoors({ config, world }: CacheSurroundings, providers: Providers): RegistryDoors {
  const { namespace, gatewayTokenFile } = config;
  const { secrets } = world;
  const token = gatewayTokenFile === undefined ? {} : { tokenFile: gatewayTokenFile };
  const secret = (name: string) => secrets.get(`${namespace}/${name}`);
  return new RegistryDoors({
    namespace,
    secrets,
    pullHost: (registry) => providerFor(registry, providers)?.pullHost(registry) ?? "",
    gateway: async (registry) => await gatewayPlace(registry, { namespace, secret, ...token }),
    upstreamOf: (registry, host) => resolveUpstream(registry, host, secrets, namespace),
  });
}

/** The reconcilers of CacheRegistries and how they are reached, of CacheRules, and of what these have fetched ahead; and what they leave open. */
export function cacheReconcilers(
  surroundings: CacheSurroundings,
  signal: AbortSignal,
): {
  readonly registries: Reconcile;
  readonly rules: Reconcile;
  readonly refresh: Reconcile;
  readonly reachability: Reconcile;
  readonly close: () => Promise<void>;
} {
  const { client, config, world, events, refreshMetrics, clock, log, onUpstreamChange } = surroundings;
  const { healthyMs, unhealthyMs, pendingMs, driftMs, patienceMs } = config;
  const { rules, registries } = world;
  const health = new UpstreamHealthCache({
    probe: probeUpstream,
    healthyMs,
    unhealthyMs,
    clock,
    signal,
    onChange: onUpstreamChange,
  });
  const providers = createProviders(surroundings, health);
  const plans = new Plans(rules, providers);
  const doors = createDoors(surroundings, providers);
  const intervals = { healthyMs, unhealthyMs, pendingMs, driftMs, patienceMs };
  const common = { client, plans, registries, rules, providers, events, clock, log, intervals };
  return {
    registries: cacheRegistryReconciler(common),
    rules: cacheRuleReconciler(common),
    refresh: refreshReconciler({ client, rules, registries, doors, metrics: refreshMetrics, events, clock, log }),
    reachability: reachabilityReconciler({
      client,
      rules,
      registries,
      events,
      clock,
      probe: probeHost,
      pullHost: (registry) => providerFor(registry, providers)?.pullHost(registry) ?? "",
      authority: (registry, stop) => authorityOf(registry, { client, namespace: config.namespace }, stop),
      rewriteImages: () => world.rewriteImages(),
      intervalMs: probeMs(config),
    }),
    close: () => doors.close(),
  };
}
