// Stored workloads of every kind in every state, a recording webhook server, and UPDATEs on trial.
import type { MatchCondition } from "../../core/webhookconfig/match.ts";
import { type ApiAnswer, ApiServer } from "../support/api-server.ts";
import { type ClusterHandle, sharedCluster } from "../support/cluster.ts";
import { adminClient, eventually, freshNamespace } from "../support/kube.ts";
import type { Kind } from "./inheritance-objects.ts";
import { type Call, Recorder } from "./match-conditions-harness.ts";
import {
  type Edit,
  edited,
  idle,
  KINDS,
  type Loose,
  nameOf,
  pathOf,
  STATES,
  type State,
} from "./match-conditions-objects.ts";

/** Annotations with a seal. */
export interface Seals {
  /** On the stored objects that have one. */
  readonly own: string;
  /** What the edit `otherSeal` puts there. */
  readonly other: string;
}

/** What came of an UPDATE, and who was asked. */
export interface Tried {
  readonly answer: ApiAnswer;
  readonly calls: readonly Call[];
}

export class Stage {
  readonly api: ApiServer;
  readonly cluster: ClusterHandle;
  readonly namespace: string;
  readonly recorder: Recorder;
  readonly #seals: Seals;
  readonly #closeClient: () => Promise<void>;

  private constructor(
    parts: Pick<Stage, "api" | "cluster" | "namespace" | "recorder">,
    seals: Seals,
    closeClient: () => Promise<void>,
  ) {
    this.api = parts.api;
    this.cluster = parts.cluster;
    this.namespace = parts.namespace;
    this.recorder = parts.recorder;
    this.#seals = seals;
    this.#closeClient = closeClient;
  }

  static async open(seals: Seals): Promise<Stage> {
    const cluster = await sharedCluster();
    const client = await adminClient(cluster);
    const namespace = await freshNamespace(client, "match-conditions");
    const api = await ApiServer.connect(cluster.kubeconfig);
    const recorder = await Recorder.start(client, namespace);
    const stage = new Stage({ api, cluster, namespace, recorder }, seals, () => client.close());
    await stage.#store();
    return stage;
  }

  async close(): Promise<void> {
    await this.recorder.close();
    for (const { path } of this.#all())
      await this.api.send({ method: "PATCH", path, body: { metadata: { finalizers: null } } });
    await this.cluster.kubectl(["delete", "namespace", this.namespace, "--wait=false"]);
    await this.api.close();
    await this.#closeClient();
  }

  /** Installs webhooks under their conditions, and waits until the API server asks every one of them. */
  async install(webhooks: Readonly<Record<string, readonly MatchCondition[]>>): Promise<void> {
    await this.recorder.install("tested", webhooks);
    await eventually("the API server has the webhooks", async () => {
      const { calls } = await this.put("Deployment", "sealed", [{ what: "image", value: "b" }]);
      const asked = new Set(calls.map(({ phase, webhook }) => `${phase} ${webhook}`));
      return asked.size === 2 * Object.keys(webhooks).length; // a mutating and a validating one
    });
  }

  path(kind: Kind, state: State): string {
    return pathOf(this.namespace, kind, nameOf(kind, state));
  }

  /** An UPDATE on trial, with these edits and then `change`, of the object or through a subresource of it. */
  async put(
    kind: Kind,
    state: State,
    edits: readonly Edit[],
    change?: (object: Loose) => unknown,
    subresource = "",
  ): Promise<Tried> {
    const path = `${this.path(kind, state)}${subresource}`;
    const body = edited(await this.api.must({ method: "GET", path }), edits, this.#seals.other);
    delete body.metadata.resourceVersion;
    change?.(body);
    this.recorder.forget();
    const answer = await this.api.send({ method: "PUT", path, body, dryRun: true });
    return { answer, calls: this.recorder.calls.filter(({ request }) => request.dryRun) };
  }

  #all(): readonly { kind: Kind; state: State; path: string }[] {
    return KINDS.flatMap((kind) => STATES.map((state) => ({ kind, state, path: this.path(kind, state) })));
  }

  async #store(): Promise<void> {
    for (const { kind, state, path } of this.#all()) {
      const body = idle(kind, state, this.#seals.own);
      await this.api.must({ method: "POST", path: pathOf(this.namespace, kind, ""), body });
      if (state === "leaving")
        await this.api.must({ method: "DELETE", path, body: { propagationPolicy: "Background" } });
    }
  }
}
