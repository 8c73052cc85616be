import { aborted } from "../adapters/deadline.ts";
import { startServer } from "../adapters/http/server.ts";
import { type Check, startStatusServer } from "../adapters/http/status.ts";
import { loadAccess } from "../adapters/kube/access.ts";
import { connect } from "../adapters/kube/client.ts";
import { Informer } from "../adapters/kube/informer.ts";
import { KubeMetrics } from "../adapters/kube/metrics.ts";
import { createLog } from "../adapters/telemetry/log.ts";
import { createRegistry } from "../adapters/telemetry/metrics.ts";
import { VERSION } from "../adapters/version.ts";
import { backendUrl } from "../core/cacheregistry/names.ts";
import { CACHE_RULES, type CacheRuleObject } from "../crds/index.ts";
import { Backends } from "./backend.ts";
import { readGatewayConfig } from "./config.ts";
import { GatewayMetrics } from "./metrics.ts";
import { BackendProbe } from "./probe.ts";
import { BackendProxy } from "./proxy.ts";
import { Rules } from "./rules.ts";
import { rulesPage } from "./rules-page.ts";
import { createGateway } from "./server.ts";

/** Runs one gateway until `signal` aborts, then drains. Rejects when it cannot start. */
export async function run(env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<void> {
  const config = readGatewayConfig(env);
  const log = createLog("gateway", config.logLevel).child({ registry: config.registry });
  const telemetry = createRegistry("gateway", VERSION);
  const metrics = new GatewayMetrics(telemetry);
  const kubeMetrics = new KubeMetrics(telemetry);

  const client = connect(await loadAccess(env), { metrics: kubeMetrics });
  const informer = new Informer<CacheRuleObject>({ client, resource: CACHE_RULES, metrics: kubeMetrics, log });
  const rules = new Rules({ source: informer, registry: config.registry, metrics, log });
  const stopInformer = new AbortController();
  const informing = informer.run(stopInformer.signal);

  const originOf = (host: string): string =>
    config.backendOrigins.get(host) ?? backendUrl(config.registry, host, config.namespace);
  const backends = new Backends();
  const probe = new BackendProbe(backends);
  const proxy = new BackendProxy({ backends, originOf });

  const ready = new Map<string, Check>([
    ["rules", () => (rules.table === undefined ? "the CacheRules are not loaded yet" : undefined)],
    ["serving", () => (signal.aborted ? "the process is ending" : undefined)],
  ]);
  const pages = new Map([["/-/rules", () => rulesPage(config.registry, rules.table, probe, originOf)]]);
  const status = await startStatusServer({ port: config.statusPort, registry: telemetry, log, ready, pages });
  const handler = createGateway({ registry: config.registry, routes: () => rules.table, proxy, metrics, log });
  const server = await startServer({ port: config.registryPort, handler, log });
  log.info("gateway started", { port: server.port, statusPort: status.port, namespace: config.namespace });

  await aborted(signal);
  log.info("gateway draining", { drainMs: config.drainMs, graceMs: config.graceMs });
  await server.drain(config.drainMs, config.graceMs);
  stopInformer.abort();
  await Promise.all([informing, backends.close(), client.close(), status.close()]);
  log.info("gateway ended");
}
