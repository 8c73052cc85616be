// The gateway in a process of its own, so that its memory can be measured, with rules that the parent sends instead of an informer.

import { systemClock } from "../../adapters/clock.ts";
import { startServer } from "../../adapters/http/server.ts";
import { startStatusServer } from "../../adapters/http/status.ts";
import { createLog } from "../../adapters/telemetry/log.ts";
import { createRegistry } from "../../adapters/telemetry/metrics.ts";
import type { Upstream } from "../../core/cacheregistry/types.ts";
import type { CacheRuleView } from "../../core/cacherule/servable.ts";
import { accessPolicy, type RegistryView } from "../../core/gateway/policy.ts";
import { Access } from "../../gateway/access.ts";
import { BACKEND_LIMITS, type BackendLimits, Backends } from "../../gateway/backend.ts";
import { BackendCatalogs } from "../../gateway/catalog.ts";
import { ClientLimits } from "../../gateway/limits.ts";
import { GatewayMetrics } from "../../gateway/metrics.ts";
import { BackendProbe } from "../../gateway/probe.ts";
import { BackendProxy, PROXY_LIMITS, type ProxyLimits } from "../../gateway/proxy.ts";
import { REFERRERS_TIMES, ReferrersLists, type ReferrersTimes } from "../../gateway/referrers.ts";
import { UpstreamReferrers } from "../../gateway/referrers-upstream.ts";
import { type RuleSource, Rules } from "../../gateway/rules.ts";
import { rulesPage } from "../../gateway/rules-page.ts";
import { createGateway } from "../../gateway/server.ts";

/** What the parent gives in the first argument. */
export interface ChildOptions {
  readonly registry: string;
  readonly origins: Readonly<Record<string, string>>;
  /** `spec` of the CacheRegistry. By default no upstream has credentials, so everybody may pull. */
  readonly spec?: RegistryView["spec"];
  readonly backendLimits?: Partial<BackendLimits>;
  readonly proxyLimits?: Partial<ProxyLimits>;
  readonly clientIdleMs?: number;
  /** What upstreams are asked with for referrers. Those that it does not have are asked anonymously. */
  readonly upstreams?: readonly Upstream[];
  readonly referrersTimes?: Partial<ReferrersTimes>;
  /** How long an upstream may take for a list of referrers. */
  readonly upstreamMs?: number;
}

class SentRules implements RuleSource {
  hasSynced = false;
  #rules: readonly CacheRuleView[] = [];
  #tell: () => void = () => undefined;

  list(): readonly CacheRuleView[] {
    return this.#rules;
  }

  subscribe(handler: () => void): () => void {
    this.#tell = handler;
    return () => undefined;
  }

  replace(rules: readonly CacheRuleView[]): void {
    this.#rules = rules;
    this.hasSynced = true;
    this.#tell();
  }
}

const options = JSON.parse(process.argv[2] ?? "{}") as ChildOptions;
const { registry } = options;
const log = createLog("gateway", "info");
const telemetry = createRegistry("gateway", "test");
const metrics = new GatewayMetrics(telemetry);
const source = new SentRules();
const rules = new Rules({ source, registry, metrics, log, soon: (build) => build() });
const originOf = (host: string): string => options.origins[host] ?? "http://127.0.0.1:9";
const backends = new Backends({ ...BACKEND_LIMITS, ...options.backendLimits });
const probe = new BackendProbe(backends);
const proxy = new BackendProxy({ backends, originOf, limits: { ...PROXY_LIMITS, ...options.proxyLimits } });
const policy = accessPolicy({ metadata: { name: registry }, spec: options.spec ?? {} });
const upstream = new UpstreamReferrers({
  upstreams: () => new Map((options.upstreams ?? []).map((one) => [one.host, one])),
  needsCredentials: (host) => policy.privateHosts.has(host),
  ...(options.upstreamMs !== undefined && { totalMs: options.upstreamMs }),
});
const times = { ...REFERRERS_TIMES, ...options.referrersTimes };
const referrers = new ReferrersLists({ backends, originOf, upstream, clock: systemClock, times });
const access = new Access({
  registry,
  policy: () => policy,
  document: () => ({ users: [] }),
  reviewToken: async () => Promise.reject(new Error("there is no API server in this test")),
  log,
});
const catalogs = new BackendCatalogs(backends);
const limits = new ClientLimits(systemClock);
const server = await startServer({
  port: 0,
  host: "127.0.0.1",
  handler: createGateway({
    registry,
    routes: () => rules.table,
    proxy,
    referrers,
    catalogs,
    originOf,
    access,
    limits,
    metrics,
    log,
    ...(options.clientIdleMs !== undefined && { clientIdleMs: options.clientIdleMs }),
  }),
  log,
});
const status = await startStatusServer({
  port: 0,
  host: "127.0.0.1",
  registry: telemetry,
  log,
  ready: new Map(),
  pages: new Map([["/-/rules", () => rulesPage(registry, rules.table, probe, originOf)]]),
});
process.on("message", (message: readonly CacheRuleView[]) => {
  source.replace(message);
  setImmediate(() => process.send?.({ loaded: true }));
});
process.on("disconnect", () => process.exit(0));
process.send?.({ port: server.port, statusPort: status.port });
