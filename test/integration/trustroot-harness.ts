import { systemClock } from "../../adapters/clock.ts";
import { loadAccess } from "../../adapters/kube/access.ts";
import type { ConnectedKubeClient } from "../../adapters/kube/client.ts";
import { connect } from "../../adapters/kube/client.ts";
import { isKubeError } from "../../adapters/kube/errors.ts";
import { EventRecorder } from "../../adapters/kube/events.ts";
import { Informer } from "../../adapters/kube/informer.ts";
import { Resources } from "../../adapters/kube/resources.ts";
import { createLog } from "../../adapters/telemetry/log.ts";
import { TrustRootResolver } from "../../adapters/trust/resolve.ts";
import { findCondition } from "../../core/conditions.ts";
import { PUBLIC_GOOD_CONFIG_MAP, SIGSTORE_KEYS_CONFIG_MAP } from "../../core/trust/names.ts";
import { type Condition, TRUST_ROOTS, type TrustRootObject } from "../../crds/index.ts";
import { runController } from "../../operator/runtime/controller.ts";
import { WorkQueue } from "../../operator/runtime/workqueue.ts";
import type { ConfigMapObject } from "../../operator/trustroot/configmap.ts";
import { publicGoodReconciler } from "../../operator/trustroot/publicgood.ts";
import { trustRootReconciler } from "../../operator/trustroot/reconciler.ts";
import type { PublicGoodSource } from "../../operator/trustroot/source.ts";
import { connectTrustTriggers } from "../../operator/trustroot/triggers.ts";
import { eventually } from "../support/kube.ts";
import { NAMESPACE } from "./operator-harness.ts";

/** The operator's part for trust roots alone, in this process, with the rights of the operator's ServiceAccount. */
export class TrustOperator {
  readonly #kubeconfig: string;
  readonly #stop = new AbortController();
  #running: Promise<unknown> = Promise.resolve();
  #client: ConnectedKubeClient | undefined;

  constructor(kubeconfig: string) {
    this.#kubeconfig = kubeconfig;
  }

  /** Resolves when it knows the cluster and works. */
  async start(publicGood: PublicGoodSource, resyncMs = 200): Promise<this> {
    const client = connect(await loadAccess({ KUBECONFIG: this.#kubeconfig }));
    this.#client = client;
    const log = createLog("operator", "silent");
    const { signal } = this.#stop;
    const clock = systemClock;
    const named = (name: string) =>
      new Informer<ConfigMapObject>({
        client,
        log,
        resource: Resources.configMaps,
        scope: { namespace: NAMESPACE, fieldSelector: `metadata.name=${name}` },
      });
    const trustRoots = new Informer<TrustRootObject>({ client, log, resource: TRUST_ROOTS });
    const world = {
      trustRoots,
      sigstoreKeys: named(SIGSTORE_KEYS_CONFIG_MAP),
      publicGoodRoot: named(PUBLIC_GOOD_CONFIG_MAP),
    };
    const events = new EventRecorder({ client, controller: "entrepot.dev/operator", instance: "test", log });
    const queues = {
      trustRoots: new WorkQueue({ name: "trustroot" }),
      publicGood: new WorkQueue({ name: "publicgoodroot" }),
    };
    const common = { client, namespace: NAMESPACE, clock, log, events, resyncMs };
    const resolver = new TrustRootResolver({ fileMs: 5_000, refreshMs: 15_000 });
    const reconcilers = {
      trustRoots: trustRootReconciler({ ...common, trustRoots, configMaps: world.sigstoreKeys, resolver }),
      publicGood: publicGoodReconciler({ ...common, configMaps: world.publicGoodRoot, source: publicGood }),
    };
    const watching = Object.values(world).map((informer) => informer.run(signal));
    await Promise.all(Object.values(world).map((informer) => informer.synced));
    const working = (["trustRoots", "publicGood"] as const).map((name) =>
      runController({ queue: queues[name], reconcile: reconcilers[name], log }, signal),
    );
    connectTrustTriggers(world, queues);
    this.#running = Promise.all([...watching, ...working]).then(() => events.flush());
    return this;
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    await this.#client?.close();
  }
}

/** What the tests look at, and change, as an administrator. */
export class TrustRootCluster {
  readonly #client: ConnectedKubeClient;

  constructor(client: ConnectedKubeClient) {
    this.#client = client;
  }

  async apply(name: string, spec: object): Promise<void> {
    const object = { apiVersion: "policy.sigstore.dev/v1alpha1", kind: "TrustRoot", metadata: { name }, spec };
    const { items } = await this.#client.list<TrustRootObject>(TRUST_ROOTS);
    if (items.some(({ metadata }) => metadata.name === name))
      await this.#client.mergePatch(TRUST_ROOTS, name, { spec });
    else await this.#client.create(TRUST_ROOTS, object);
  }

  async remove(name: string): Promise<void> {
    await this.#client.delete(TRUST_ROOTS, name);
  }

  async trustRoot(name: string): Promise<TrustRootObject | undefined> {
    return await this.#orAbsent(this.#client.get<TrustRootObject>(TRUST_ROOTS, name));
  }

  async configMap(name = SIGSTORE_KEYS_CONFIG_MAP): Promise<ConfigMapObject | undefined> {
    return await this.#orAbsent(
      this.#client.get<ConfigMapObject>(Resources.configMaps, name, { namespace: NAMESPACE }),
    );
  }

  async entry(name: string): Promise<string | undefined> {
    return (await this.configMap())?.data?.[name];
  }

  /** Waits until a condition of the current generation is `what` ("True Ready") and its message has `text`. */
  async says(name: string, type: string, what: string, text = ""): Promise<Condition> {
    let last = "";
    return await eventually(`TrustRoot ${name}: ${type} is ${what} ${text}`, async () => {
      const trustRoot = await this.trustRoot(name);
      const found = findCondition(trustRoot?.status?.conditions as readonly Condition[] | undefined, type);
      last = JSON.stringify(found);
      const isCurrent = found?.observedGeneration === trustRoot?.metadata.generation;
      return found !== undefined &&
        isCurrent &&
        `${found.status} ${found.reason}` === what &&
        found.message.includes(text)
        ? found
        : undefined;
    }).catch((thrown: unknown) => {
      throw new Error(`${String(thrown)}; last: ${last}`);
    });
  }

  /** Takes every TrustRoot and what was made of them away. */
  async clear(): Promise<void> {
    const { items } = await this.#client.list<TrustRootObject>(TRUST_ROOTS);
    for (const { metadata } of items) {
      if ((metadata.finalizers ?? []).length > 0)
        await this.#client.mergePatch(TRUST_ROOTS, metadata.name, { metadata: { finalizers: [] } });
      await this.#client.delete(TRUST_ROOTS, metadata.name);
    }
    for (const name of [SIGSTORE_KEYS_CONFIG_MAP, PUBLIC_GOOD_CONFIG_MAP])
      await this.#client.delete(Resources.configMaps, name, { namespace: NAMESPACE });
  }

  async #orAbsent<T>(promise: Promise<T>): Promise<T | undefined> {
    return await promise.catch((thrown: unknown) => {
      if (isKubeError(thrown, "NOT_FOUND")) return undefined;
      throw thrown;
    });
  }
}
