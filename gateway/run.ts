import { systemClock } from "../adapters/clock.ts";
import { aborted } from "../adapters/deadline.ts";
import { type Check, startStatusServer } from "../adapters/http/status.ts";
import { loadAccess } from "../adapters/kube/access.ts";
import { type ConnectedKubeClient, connect } from "../adapters/kube/client.ts";
import { Informer } from "../adapters/kube/informer.ts";
import { KubeMetrics } from "../adapters/kube/metrics.ts";
import { createLog, type Log } from "../adapters/telemetry/log.ts";
import { createRegistry } from "../adapters/telemetry/metrics.ts";
import { VERSION } from "../adapters/version.ts";
import { backendUrl } from "../core/cacheregistry/names.ts";
import { type AccessPolicy, ownUsers } from "../core/gateway/policy.ts";
import {
  certificateAwaited,
  clientsAwaited,
  type MountSeen,
  registryAwaited,
  rulesAwaited,
} from "../core/gateway/waiting.ts";
import { ACCESS_FILE, TLS_CERT_FILE } from "../core/gatewayaccess/names.ts";
import { CACHE_REGISTRIES, CACHE_RULES, type CacheRegistryObject, type CacheRuleObject } from "../crds/index.ts";
import { Access } from "./access.ts";
import { accessPage } from "./access-page.ts";
import { Backends } from "./backend.ts";
import { BackendCatalogs } from "./catalog.ts";
import { type GatewayConfig, readGatewayConfig } from "./config.ts";
import { ClientLimits } from "./limits.ts";
import { Listener } from "./listener.ts";
import { GatewayMetrics } from "./metrics.ts";
import { MountedAccess } from "./mounted.ts";
import { BackendProbe } from "./probe.ts";
import { BackendProxy } from "./proxy.ts";
import { ReferrersLists } from "./referrers.ts";
import { UpstreamReferrers } from "./referrers-upstream.ts";
import { RegistryPolicy } from "./registry-policy.ts";
import { Rules } from "./rules.ts";
import { rulesPage } from "./rules-page.ts";
import { createGateway } from "./server.ts";
import { TokenReviews } from "./token-reviews.ts";
import { tellWaiting } from "./waiting.ts";

const POLL_MS = 1_000;

/** Runs one gateway until `signal` aborts, then drains. Rejects when it cannot start. */
export async function run(env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<void> {
  const config = readGatewayConfig(env);
  const log = createLog("gateway", config.logLevel).child({ registry: config.registry });
  const telemetry = createRegistry("gateway", VERSION);
  const metrics = new GatewayMetrics(telemetry);
  const kubeMetrics = new KubeMetrics(telemetry);

  const client = connect(await loadAccess(env), { metrics: kubeMetrics });
  const told = { client, metrics: kubeMetrics, log };
  const ruleObjects = new Informer<CacheRuleObject>({ ...told, resource: CACHE_RULES });
  const scope = { fieldSelector: `metadata.name=${config.registry}` };
  const registries = new Informer<CacheRegistryObject>({ ...told, resource: CACHE_REGISTRIES, scope });
  const rules = new Rules({ source: ruleObjects, registry: config.registry, metrics, log });
  const policy = new RegistryPolicy(registries, config.registry, ownUsers(config.namespace));
  const end = new AbortController();
  const informing = [ruleObjects.run(end.signal), registries.run(end.signal)];

  const originOf = (host: string): string =>
    config.backendOrigins.get(host) ?? backendUrl(config.registry, host, config.namespace);
  const backends = new Backends();
  const probe = new BackendProbe(backends);
  const proxy = new BackendProxy({ backends, originOf });
  const mounted = mountedAccess(config, log, async (pair) => await listener.useTls(pair));
  const access = makeAccess(config.registry, client, () => policy.current, mounted, log);
  const upstream = new UpstreamReferrers({
    upstreams: () => mounted?.upstreams,
    needsCredentials: (host) => policy.current?.privateHosts.has(host) === true,
  });
  const referrers = new ReferrersLists({ backends, originOf, upstream, clock: systemClock });
  const limits = new ClientLimits(systemClock);
  const catalogs = new BackendCatalogs(backends);
  const served = { registry: config.registry, routes: () => rules.table, proxy, referrers, catalogs, originOf };
  const options = { ...served, access, limits, metrics, log };
  const listener = new Listener({ port: config.registryPort, handler: createGateway(options), log });

  const ready = readiness(config, { rules, registries, mounted, listener, signal });
  const pages = new Map<string, () => unknown>([
    ["/-/rules", () => rulesPage(config.registry, rules.table, probe, originOf)],
    ["/-/access", () => accessPage(policy.current, mounted?.document)],
  ]);
  const status = await startStatusServer({ port: config.statusPort, registry: telemetry, log, ready, pages });
  if (!config.tls) await listener.startPlain();
  const polling = keepPolling(mounted, end.signal);
  log.info("gateway started", { statusPort: status.port, namespace: config.namespace, tls: config.tls });
  const telling = tellWaiting({ checks: ready, clock: systemClock, log, signal });

  await aborted(signal);
  log.info("gateway draining", { drainMs: config.drainMs, graceMs: config.graceMs });
  await listener.drain(config.drainMs, config.graceMs);
  end.abort();
  await Promise.all([
    ...informing,
    polling,
    telling,
    backends.close(),
    upstream.close(),
    client.close(),
    status.close(),
  ]);
  log.info("gateway ended");
}

interface Waited {
  readonly rules: Rules;
  readonly registries: Informer<CacheRegistryObject>;
  readonly mounted: MountedAccess | undefined;
  readonly listener: Listener;
  readonly signal: AbortSignal;
}

function readiness(
  { registry, accessDirectory: directory = "" }: GatewayConfig,
  { rules, registries, mounted, listener, signal }: Waited,
): ReadonlyMap<string, Check> {
  const seen = (file: string): MountSeen => ({ registry, directory, unusable: mounted?.isUnusable(file) === true });
  return new Map<string, Check>([
    ["rules", () => (rules.table === undefined ? rulesAwaited() : undefined)],
    ["access", () => (registries.hasSynced ? undefined : registryAwaited(registry))],
    ["clients", () => (mounted?.document === undefined && mounted ? clientsAwaited(seen(ACCESS_FILE)) : undefined)],
    ["listening", () => (listener.port === undefined ? certificateAwaited(seen(TLS_CERT_FILE)) : undefined)],
    ["serving", () => (signal.aborted ? "the process is ending" : undefined)],
  ]);
}

function mountedAccess(
  config: GatewayConfig,
  log: Log,
  onTls: NonNullable<ConstructorParameters<typeof MountedAccess>[0]["onTls"]>,
): MountedAccess | undefined {
  if (config.accessDirectory === undefined) return undefined;
  return new MountedAccess({ directory: config.accessDirectory, log, ...(config.tls && { onTls }) });
}

function makeAccess(
  registry: string,
  client: ConnectedKubeClient,
  policy: () => AccessPolicy | undefined,
  mounted: MountedAccess | undefined,
  log: Log,
): Access {
  const reviews = new TokenReviews(client, systemClock);
  const none = { users: [] }; // nothing is mounted, so nobody has a password
  return new Access({
    registry,
    policy,
    document: () => (mounted === undefined ? none : mounted.document),
    reviewToken: async (token, current) => await reviews.clientOf(token, current),
    log,
  });
}

async function keepPolling(mounted: MountedAccess | undefined, signal: AbortSignal): Promise<void> {
  while (mounted !== undefined && !signal.aborted) {
    await mounted.poll();
    await systemClock.sleep(POLL_MS, signal);
  }
}
