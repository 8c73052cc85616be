import { randomUUID } from "node:crypto";
import { systemClock } from "../adapters/clock.ts";
import { aborted } from "../adapters/deadline.ts";
import { type Check, startStatusServer } from "../adapters/http/status.ts";
import { createKms } from "../adapters/kms/client.ts";
import { loadAccess } from "../adapters/kube/access.ts";
import { connect } from "../adapters/kube/client.ts";
import { EventRecorder } from "../adapters/kube/events.ts";
import { runAsLeader } from "../adapters/kube/lease.ts";
import { KubeMetrics } from "../adapters/kube/metrics.ts";
import { RemoteDocuments } from "../adapters/remote/documents.ts";
import { createLog } from "../adapters/telemetry/log.ts";
import { createRegistry } from "../adapters/telemetry/metrics.ts";
import { VERSION } from "../adapters/version.ts";
import { readOperatorConfig } from "./config.ts";
import { runControllers } from "./controllers.ts";
import { parseOperatorFlags } from "./flags.ts";
import { readInstallation } from "./installation.ts";
import { pageReader } from "./pages/fetch.ts";
import { RefreshMetrics } from "./refresh/metrics.ts";
import { RuntimeMetrics } from "./runtime/metrics.ts";
import { publicGoodSource } from "./trustroot/source.ts";
import { World } from "./world.ts";

const LEASE = "entrepot-operator";

/** Runs the operator (`argv`: its flags) until `signal` aborts: waits for the lease, then reconciles. Rejects when it can't start or loses the lease. */
export async function run(env: NodeJS.ProcessEnv, signal: AbortSignal, argv: readonly string[] = []): Promise<void> {
  const config = readOperatorConfig(env);
  const flags = parseOperatorFlags(argv);
  const publicGood = publicGoodSource(flags);
  const { namespace, podName } = config;
  const log = createLog("operator", config.logLevel);
  const telemetry = createRegistry("operator", VERSION);
  const kubeMetrics = new KubeMetrics(telemetry);
  const metrics = new RuntimeMetrics(telemetry);
  const refreshMetrics = new RefreshMetrics(telemetry);
  const client = connect(await loadAccess(env), { metrics: kubeMetrics });
  const world = new World({ client, namespace, metrics: kubeMetrics, log });
  const events = new EventRecorder({ client, controller: "entrepot.dev/operator", instance: podName, log });
  const pages = pageReader();
  const documents = new RemoteDocuments({ clock: systemClock });
  const sources = { publicKey: createKms(config.kms), documents };
  const ready = new Map<string, Check>([
    ["informers", () => (world.unsynced().length === 0 ? undefined : `not loaded yet: ${world.unsynced().join(", ")}`)],
    ["running", () => (signal.aborted ? "the process is ending" : undefined)],
  ]);
  const status = await startStatusServer({ port: config.statusPort, registry: telemetry, log, ready });
  // Informers outlive the work that reads them, and run in every replica: the next leader is ready at once.
  const stopWorld = new AbortController();
  const watching = world.run(stopWorld.signal);
  log.info("operator started", { namespace, version: VERSION, statusPort: status.port });

  const lead = async (leading: AbortSignal): Promise<void> => {
    const installation = await readInstallation(client, config, leading);
    await Promise.race([world.synced(), aborted(leading)]);
    if (leading.aborted) return;
    const fetchPage = pages.fetch;
    await runControllers(
      {
        client,
        config,
        flags,
        publicGood,
        sources,
        installation,
        world,
        events,
        fetchPage,
        metrics,
        refreshMetrics,
        clock: systemClock,
        log,
      },
      leading,
    );
  };
  const identity = `${podName}_${randomUUID()}`;
  const { leaseDurationMs } = config;
  const lease = { leaseDurationMs, renewDeadlineMs: (leaseDurationMs * 2) / 3, retryPeriodMs: leaseDurationMs / 8 };
  try {
    await runAsLeader({ client, namespace, name: LEASE, identity, log, ...lease }, lead, signal);
  } finally {
    stopWorld.abort();
    await Promise.all([watching, events.flush()]);
    await Promise.all([pages.close(), documents.close(), client.close(), status.close()]);
    log.info("operator ended");
  }
}
