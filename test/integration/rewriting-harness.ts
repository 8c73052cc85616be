// The admission server inside the test, before a real API server: registries are scripted, everything of Kubernetes is real.
import type { IncomingMessage, ServerResponse } from "node:http";
import { Registry } from "prom-client";
import { systemClock } from "../../adapters/clock.ts";
import { type RunningServer, startServer } from "../../adapters/http/server.ts";
import type { ConnectedKubeClient } from "../../adapters/kube/client.ts";
import { Resources } from "../../adapters/kube/resources.ts";
import type { KubeClient, KubeObject } from "../../adapters/kube/types.ts";
import { silentLog } from "../../adapters/telemetry/log.ts";
import { readConfig } from "../../core/admission/config.ts";
import { newSealKey } from "../../core/cache/keyring.ts";
import { Sealer } from "../../core/cache/seal.ts";
import type { NamedRuleView } from "../../core/cachenames/types.ts";
import { ADMISSION_NAME, type WebhookConfiguration, webhookConfigurations } from "../../core/webhookconfig/desired.ts";
import { READS_NOTHING } from "../../core/webhookconfig/reads.ts";
import { rewritingConfiguration } from "../../core/webhookconfig/rewriting.ts";
import { OPT_IN } from "../../core/webhookconfig/scope.ts";
import { createAdmission } from "../../webhooks/admission.ts";
import type { Snapshot } from "../../webhooks/case.ts";
import { Memory } from "../../webhooks/memory.ts";
import { WebhookMetrics } from "../../webhooks/metrics.ts";
import { admissionHandler, type Endpoint } from "../../webhooks/server.ts";
import { keyed } from "../support/admission.ts";
import { freshNamespace } from "../support/kube.ts";
import { namesOf } from "../support/rewrite-samples.ts";
import { selfSigned } from "../support/self-signed.ts";

export const DIGEST = `sha256:${"a".repeat(64)}` as const;

/** What the webhooks asked others, since the last `forget`. */
export interface Asked {
  registry: number;
  /** Names of Secrets whose metadata was read. */
  secrets: string[];
}

type Resource = (typeof Resources)["mutatingWebhookConfigurations" | "validatingWebhookConfigurations"];

const INJECTOR = "/inject";

/** Policy and rewriting webhooks as the operator installs them, and one of somebody else that comes after both. */
export class Rewriting {
  readonly asked: Asked = { registry: 0, secrets: [] };
  readonly metrics = new Registry();
  readonly client: ConnectedKubeClient;
  /** What all webhooks decide by; undefined: nothing has been read yet. */
  snapshot: Snapshot | undefined;
  readonly #tls = selfSigned();
  readonly #made: (readonly [Resource, string])[] = [];
  readonly #namespaces: string[] = [];
  #server: RunningServer | undefined;

  private constructor(client: ConnectedKubeClient) {
    this.client = client;
  }

  static async start(client: ConnectedKubeClient, rules: readonly NamedRuleView[]): Promise<Rewriting> {
    const rewriting = new Rewriting(client);
    rewriting.know(rules);
    const endpoints = rewriting.#endpoints();
    const admission = admissionHandler(endpoints, new WebhookMetrics(new Registry()), silentLog);
    const handler = (request: IncomingMessage, response: ServerResponse) =>
      request.url?.startsWith(INJECTOR) === true ? inject(request, response) : admission(request, response);
    const tls = rewriting.#tls;
    rewriting.#server = await startServer({ handler, port: 0, host: "127.0.0.1", tls, log: silentLog });
    await rewriting.#install();
    return rewriting;
  }

  /** Has other rules. */
  know(rules: readonly NamedRuleView[], data: Readonly<Record<string, string>> = {}): void {
    this.snapshot = {
      policies: [keyed],
      config: readConfig({ "dev.chainguard.enable-cip-cache": "true", ...data }).config,
      names: namesOf(rules),
      sealer: this.snapshot?.sealer ?? new Sealer({ keys: [newSealKey(new Date())] }),
      cluster: "c",
    };
  }

  forget(): void {
    this.asked.registry = 0;
    this.asked.secrets = [];
  }

  /** A namespace with these labels. */
  async namespace(labels: Readonly<Record<string, string>>): Promise<string> {
    const name = await freshNamespace(this.client, "rewriting", labels);
    this.#namespaces.push(name);
    return name;
  }

  /** Nobody answers any more; the configurations stay. */
  async vanish(): Promise<void> {
    await this.#server?.close();
    this.#server = undefined;
  }

  async close(): Promise<void> {
    for (const [resource, name] of this.#made.splice(0)) await this.client.delete(resource, name);
    for (const name of this.#namespaces.splice(0)) await this.client.delete(Resources.namespaces, name);
    await this.vanish();
  }

  #endpoints(): ReadonlyMap<string, Endpoint> {
    const { asked } = this;
    const client = {
      get: this.client.get.bind(this.client),
      getMetadata: async (...[resource, name, options]: Parameters<KubeClient["getMetadata"]>) => {
        if (resource.kind === "Secret") asked.secrets.push(`${options?.namespace ?? ""}/${name}`);
        return await this.client.getMetadata(resource, name, options);
      },
    } as unknown as KubeClient;
    const registry = async <T>(answer: T): Promise<T> => {
      asked.registry += 1;
      return answer;
    };
    return createAdmission({
      client,
      namespace: "cosign-system",
      memory: new Memory(),
      metrics: new WebhookMetrics(this.metrics),
      log: silentLog,
      clock: systemClock,
      snapshot: () => this.snapshot,
      resolve: () => registry(DIGEST),
      verify: () => registry({ kind: "matched", match: { signatures: [{ id: "s1" }] } }),
      configFiles: () => registry("{}"),
      configMaps: () => undefined,
      checkRepository: async () => undefined,
      events: { record: () => undefined },
      engine: { check: async () => undefined, evaluate: async () => ({ kind: "compliant" }) },
    });
  }

  async #install(): Promise<void> {
    const input = {
      namespace: "cosign-system",
      servicePort: 443,
      caBundle: this.#tls.cert,
      namespaceUid: "none",
      scope: OPT_IN,
      reads: READS_NOTHING,
    };
    const ours = webhookConfigurations(input).filter(({ metadata }) => metadata.name === ADMISSION_NAME);
    const rewriting = rewritingConfiguration(input, "labelled");
    if (rewriting === undefined) throw new Error("there is no configuration");
    const [webhook = {}] = rewriting.webhooks;
    const later: WebhookConfiguration = {
      ...rewriting,
      metadata: { ...rewriting.metadata, name: "sidecars" },
      webhooks: [{ ...webhook, name: "sidecars.entrepot.dev", clientConfig: { service: { path: INJECTOR } } }],
    };
    for (const configuration of [...ours, rewriting, later]) await this.#create(configuration);
  }

  /** Under a name of its own, which sorts the same; with this process in place of the Service. */
  async #create({ kind, metadata, webhooks }: WebhookConfiguration): Promise<void> {
    const resource =
      kind === "MutatingWebhookConfiguration"
        ? Resources.mutatingWebhookConfigurations
        : Resources.validatingWebhookConfigurations;
    const name = `${metadata.name}.rewriting-test`;
    const here = webhooks.map((webhook) => {
      const { path } = (webhook["clientConfig"] as { service: { path: string } }).service;
      const url = `https://127.0.0.1:${this.#server?.port}${path}`;
      return { ...webhook, clientConfig: { url, caBundle: Buffer.from(this.#tls.cert).toString("base64") } };
    });
    const object = { apiVersion: "admissionregistration.k8s.io/v1", kind, metadata: { name }, webhooks: here };
    await this.client.create<KubeObject>(resource, object as KubeObject);
    this.#made.push([resource, name]);
  }
}

/** Another's webhook: Pods with the annotation `sidecar` are given a container of that image, unless they have it. */
async function inject(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const review = JSON.parse(Buffer.concat(chunks).toString("utf8")) as {
    request: {
      uid: string;
      object: { metadata: { annotations?: Record<string, string> }; spec: { containers: { name: string }[] } };
    };
  };
  const { uid, object } = review.request;
  const image = object.metadata.annotations?.["sidecar"];
  const has = object.spec.containers.some(({ name }) => name === "sidecar");
  const patch =
    image === undefined || has ? [] : [{ op: "add", path: "/spec/containers/-", value: { name: "sidecar", image } }];
  const change = { patchType: "JSONPatch", patch: Buffer.from(JSON.stringify(patch)).toString("base64") };
  response.setHeader("content-type", "application/json");
  response.end(
    JSON.stringify({
      apiVersion: "admission.k8s.io/v1",
      kind: "AdmissionReview",
      response: { uid, allowed: true, ...(patch.length > 0 && change) },
    }),
  );
}
