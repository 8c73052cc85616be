import { RegistryClients } from "../adapters/caches/clients.ts";
import { CacheEntrances } from "../adapters/caches/entrances.ts";
import { type RegistryPorts, throughCaches } from "../adapters/caches/lookups.ts";
import { systemClock } from "../adapters/clock.ts";
import { aborted } from "../adapters/deadline.ts";
import { type Check, startStatusServer } from "../adapters/http/status.ts";
import { loadAccess } from "../adapters/kube/access.ts";
import { connect } from "../adapters/kube/client.ts";
import { EventRecorder } from "../adapters/kube/events.ts";
import { KubeMetrics } from "../adapters/kube/metrics.ts";
import { type ClosablePolicyEngine, createPolicyEngine } from "../adapters/policy/engine.ts";
import { createRegistryClient } from "../adapters/registry/client.ts";
import { createConfigFiles } from "../adapters/sigstore/configfiles.ts";
import { createLogLookup } from "../adapters/sigstore/rekor.ts";
import { createCandidateVerifier } from "../adapters/sigstore/verification.ts";
import { createVerifier } from "../adapters/sigstore/verifier.ts";
import { createLog, type Log } from "../adapters/telemetry/log.ts";
import { createRegistry } from "../adapters/telemetry/metrics.ts";
import { checkRepository } from "../adapters/trust/check.ts";
import { VERSION } from "../adapters/version.ts";
import { NO_NAMES } from "../core/cachenames/names.ts";
import { messageOf } from "../core/errors.ts";
import { needsEngine } from "../core/policy/evaluate.ts";
import { createAdmission } from "./admission.ts";
import { readWebhookConfig, type WebhookConfig } from "./config.ts";
import { Memory } from "./memory.ts";
import { WebhookMetrics } from "./metrics.ts";
import { TlsServer, tlsPair } from "./serve.ts";
import { admissionHandler } from "./server.ts";
import { CERTIFICATE_SECRET, World } from "./world.ts";

/** The first object to be judged should not wait for the engine; what goes wrong here is said again when it matters. */
async function warm(engine: ClosablePolicyEngine, log: Log): Promise<void> {
  try {
    await engine.warm();
  } catch (thrown) {
    log.error("policy engine not loaded: policies in CUE, Rego and CEL refuse until it is", {
      error: messageOf(thrown),
    });
  }
}

/** The same ports by way of the caches that the rules of the moment name. */
function cached(ports: RegistryPorts, clients: RegistryClients, world: World, config: WebhookConfig): RegistryPorts {
  const { namespace, gatewayTokenFile, gatewayHosts } = config;
  const entrances = new CacheEntrances({
    namespace,
    clients,
    hosts: gatewayHosts,
    registry: (name) => world.cacheRegistry(name),
    secret: (name) => world.systemSecret(name),
    configMap: (name) => world.configMap(name),
    ...(gatewayTokenFile !== undefined && { tokenFile: gatewayTokenFile }),
  });
  return throughCaches(ports, { names: () => world.current()?.names ?? NO_NAMES, entrances });
}

/** Runs one webhook replica until `signal` aborts, then drains. Rejects when it cannot start. */
export async function run(env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<void> {
  const config = readWebhookConfig(env);
  const log = createLog("webhook", config.logLevel);
  const telemetry = createRegistry("webhook", VERSION);
  const metrics = new WebhookMetrics(telemetry);
  const kubeMetrics = new KubeMetrics(telemetry);
  const { namespace } = config;
  const client = connect(await loadAccess(env), { metrics: kubeMetrics });
  const observe = metrics.observeRegistry;
  const registry = new RegistryClients(createRegistryClient({ observe }), { observe });
  const memory = new Memory();
  const engine = createPolicyEngine({ path: config.policyEngine });
  const events = new EventRecorder({ client, controller: "entrepot.dev/webhook", instance: config.podName, log });

  const stop = new AbortController();
  const onChange = () => {
    void server.use(tlsPair(world.secret(CERTIFICATE_SECRET)));
    if (world.current()?.policies.some(needsEngine)) void warm(engine, log);
  };
  const onKeyring = (dropped: boolean) => memory.forgetSeals(dropped);
  const common = { client, namespace, log, clock: systemClock };
  const world: World = new World({ ...common, metrics: kubeMetrics, onKeyring, onChange });
  const rekor = createLogLookup();
  const verifyCandidate = createCandidateVerifier({ clock: systemClock, rekor });
  const ports: RegistryPorts = {
    resolve: registry.resolve.bind(registry),
    verify: createVerifier({ registry, verifyCandidate, engine }),
    configFiles: createConfigFiles(registry),
  };
  const endpoints = createAdmission({
    ...common,
    ...{ engine, memory, metrics, checkRepository, events },
    ...cached(ports, registry, world, config),
    snapshot: () => world.current(),
    configMaps: (name) => world.configMap(name),
  });
  const server: TlsServer = new TlsServer({
    handler: admissionHandler(endpoints, metrics, log),
    port: config.httpsPort,
    log,
  });

  const ready = new Map<string, Check>([
    ["world", () => world.missing()],
    [
      "certificate",
      () =>
        server.listening
          ? undefined
          : `no certificate yet in Secret ${namespace}/${CERTIFICATE_SECRET}: the operator makes it`,
    ],
    ["serving", () => (signal.aborted ? "the process is ending" : undefined)],
  ]);
  const pages = new Map([["/-/policies", () => world.report()]]);
  const status = await startStatusServer({ port: config.statusPort, registry: telemetry, log, ready, pages });
  const informing = world.run(stop.signal);
  log.info("webhook started", { namespace, statusPort: status.port });

  await aborted(signal);
  log.info("webhook draining", { drainMs: config.drainMs });
  await server.drain(config.drainMs);
  stop.abort();
  await events.flush();
  await Promise.all([informing, registry.close(), rekor.close(), engine.close(), client.close(), status.close()]);
  log.info("webhook ended");
}
