import { systemClock } from "../../adapters/clock.ts";
import { createKms } from "../../adapters/kms/client.ts";
import { loadAccess } from "../../adapters/kube/access.ts";
import { type ConnectedKubeClient, connect } from "../../adapters/kube/client.ts";
import type { EventNote } from "../../adapters/kube/events.ts";
import { KubeMetrics } from "../../adapters/kube/metrics.ts";
import type { KubeClient } from "../../adapters/kube/types.ts";
import { RemoteDocuments } from "../../adapters/remote/documents.ts";
import { silentLog } from "../../adapters/telemetry/log.ts";
import { createRegistry } from "../../adapters/telemetry/metrics.ts";
import { clusterImagePolicyReconciler } from "../../operator/clusterimagepolicy/reconciler.ts";
import { policyResolutionReconciler } from "../../operator/clusterimagepolicy/resolution.ts";
import type { LoadedPolicy } from "../../operator/pages/documents.ts";
import { runController } from "../../operator/runtime/controller.ts";
import { WorkQueue } from "../../operator/runtime/workqueue.ts";
import { connectTriggers } from "../../operator/triggers.ts";
import { World } from "../../operator/world.ts";
import { NAMESPACE } from "./operator-harness.ts";

const IDLE = { add: () => undefined, addAfter: () => undefined };

export interface PolicyOperatorOptions {
  /** With the operator's own ServiceAccount. */
  readonly kubeconfig: string;
  /** Of the fake servers. */
  readonly ca: string;
  readonly policyResyncMs: number;
}

/**
 * The operator's part for policies: its informers, triggers, queues and both reconcilers as they are, on a real API server with the
 * operator's own rights. FAKE is the webhooks' answer: one replica that has loaded every policy as it is, unless a test says otherwise.
 */
export class PolicyOperator {
  /** Writes to the API server: what and of whom. */
  readonly writes: string[] = [];
  readonly events: EventNote[] = [];
  /** What the replica says beyond the generation, by name. */
  readonly loaded = new Map<string, Partial<LoadedPolicy>>();
  readonly #options: PolicyOperatorOptions;
  #stop = new AbortController();
  #running: Promise<unknown> = Promise.resolve();
  #client: ConnectedKubeClient | undefined;
  #documents: RemoteDocuments | undefined;

  constructor(options: PolicyOperatorOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { kubeconfig, ca, policyResyncMs } = this.#options;
    this.#stop = new AbortController();
    const { signal } = this.#stop;
    const log = silentLog;
    const metrics = new KubeMetrics(createRegistry("operator", "0"));
    const client = connect(await loadAccess({ KUBECONFIG: kubeconfig }), { metrics });
    this.#client = client;
    const world = new World({ client, namespace: NAMESPACE, metrics, log });
    const watching = world.run(signal);
    await world.synced();
    const queues = {
      policies: new WorkQueue({ name: "policies" }),
      resolutions: new WorkQueue({ name: "resolutions" }),
    };
    const { policies, resolutions, endpointSlices } = world;
    const common = {
      client: this.#counted(client),
      namespace: NAMESPACE,
      policies,
      resolutions,
      clock: systemClock,
      log,
    };
    const documents = new RemoteDocuments({ clock: systemClock, ca, reach: "loopback" });
    const sources = { publicKey: createKms({ aws: { ca }, azure: {}, google: {} }, 20_000), documents };
    const status = clusterImagePolicyReconciler({
      ...common,
      endpointSlices,
      statusPort: 1,
      configurations: () => world.webhookConfigurations(),
      pages: { ask: async () => [{ endpoint: "fake", page: this.#page(world) }] },
      events: { record: (event) => this.events.push(event) },
      intervals: { pendingMs: 100, healthyMs: 500 },
    });
    const resolution = policyResolutionReconciler({ ...common, sources, policyResyncMs });
    this.#running = Promise.all([
      watching,
      runController({ queue: queues.policies, reconcile: status, log }, signal),
      runController({ queue: queues.resolutions, reconcile: resolution, log }, signal),
    ]);
    this.#documents = documents;
    const others = { registries: IDLE, rules: IDLE, refresh: IDLE, certificates: IDLE, webhooks: IDLE, sealKeys: IDLE };
    connectTriggers(world, { ...others, trustRoots: IDLE, publicGood: IDLE, reachability: IDLE, ...queues });
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    await Promise.all([this.#client?.close(), this.#documents?.close()]);
  }

  #page(world: World): ReadonlyMap<string, LoadedPolicy> {
    return new Map(
      world.policies
        .list()
        .map(({ metadata: { uid, generation, name } }) => [uid, { generation, ...this.loaded.get(name) }]),
    );
  }

  #counted(client: KubeClient): Pick<KubeClient, "apply" | "applyStatus" | "delete" | "mergePatch"> {
    return {
      apply: (resource, object, options) => {
        this.writes.push(`apply ${resource.plural}/${object.metadata.name}`);
        return client.apply(resource, object, options);
      },
      applyStatus: (resource, object, options) => {
        this.writes.push(`status ${resource.plural}/${object.metadata.name}`);
        return client.applyStatus(resource, object, options);
      },
      delete: (resource, name, options) => {
        this.writes.push(`delete ${resource.plural}/${name}`);
        return client.delete(resource, name, options);
      },
      mergePatch: (resource, name, patch, options) => {
        this.writes.push(`patch ${resource.plural}/${name}`);
        return client.mergePatch(resource, name, patch, options);
      },
    };
  }
}
