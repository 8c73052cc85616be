import { systemClock } from "../adapters/clock.ts";
import { aborted } from "../adapters/deadline.ts";
import { type Check, startStatusServer } from "../adapters/http/status.ts";
import { loadAccess } from "../adapters/kube/access.ts";
import { connect } from "../adapters/kube/client.ts";
import { KubeMetrics } from "../adapters/kube/metrics.ts";
import { createRegistryClient } from "../adapters/registry/client.ts";
import { createKeyVerifier } from "../adapters/sigstore/verifier.ts";
import { createLog } from "../adapters/telemetry/log.ts";
import { createRegistry } from "../adapters/telemetry/metrics.ts";
import { VERSION } from "../adapters/version.ts";
import { createAdmission } from "./admission.ts";
import { readWebhookConfig } from "./config.ts";
import { Memory } from "./memory.ts";
import { WebhookMetrics } from "./metrics.ts";
import { TlsServer, tlsPair } from "./serve.ts";
import { admissionHandler } from "./server.ts";
import { CERTIFICATE_SECRET, World } from "./world.ts";

/** Runs one webhook replica until `signal` aborts, then drains. Rejects when it cannot start. */
export async function run(env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<void> {
  const config = readWebhookConfig(env);
  const log = createLog("webhook", config.logLevel);
  const telemetry = createRegistry("webhook", VERSION);
  const metrics = new WebhookMetrics(telemetry);
  const kubeMetrics = new KubeMetrics(telemetry);
  const { namespace } = config;
  const client = connect(await loadAccess(env), { metrics: kubeMetrics });
  const registry = createRegistryClient({ observe: metrics.observeRegistry });
  const memory = new Memory();

  const stop = new AbortController();
  const onChange = () => void server.use(tlsPair(world.secret(CERTIFICATE_SECRET)));
  const onKeyring = () => memory.forgetSeals();
  const common = { client, namespace, log, clock: systemClock };
  const world: World = new World({ ...common, metrics: kubeMetrics, onKeyring, onChange });
  const resolve = registry.resolve.bind(registry);
  const verify = createKeyVerifier({ registry });
  const endpoints = createAdmission({ ...common, resolve, verify, memory, metrics, snapshot: () => world.current() });
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
  await Promise.all([informing, registry.close(), client.close(), status.close()]);
  log.info("webhook ended");
}
