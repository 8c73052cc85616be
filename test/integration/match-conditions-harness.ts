// A webhook server that records which of its webhooks the API server calls, each with match conditions of its own.
import { type RunningServer, startServer } from "../../adapters/http/server.ts";
import type { ConnectedKubeClient } from "../../adapters/kube/client.ts";
import { Resources } from "../../adapters/kube/resources.ts";
import type { KubeObject, Resource } from "../../adapters/kube/types.ts";
import { silentLog } from "../../adapters/telemetry/log.ts";
import { type AdmissionRequest, decodeReview } from "../../core/admission/request.ts";
import { UPDATES_NAME, webhookConfigurations } from "../../core/webhookconfig/desired.ts";
import type { MatchCondition } from "../../core/webhookconfig/match.ts";
import { READS_NOTHING } from "../../core/webhookconfig/reads.ts";
import { OPT_IN } from "../../core/webhookconfig/scope.ts";
import { selfSigned } from "../support/self-signed.ts";

export type Phase = "mutate" | "validate";

/** One call: which webhook, and the request as the API server sent it. */
export interface Call {
  readonly webhook: string;
  readonly phase: Phase;
  readonly request: AdmissionRequest;
}

/** A JSON patch for a request that is to be changed. */
export type Mutator = (request: AdmissionRequest) => readonly object[];

const KINDS: Readonly<Record<Phase, { readonly kind: string; readonly resource: Resource }>> = {
  mutate: { kind: "MutatingWebhookConfiguration", resource: Resources.mutatingWebhookConfigurations },
  validate: { kind: "ValidatingWebhookConfiguration", resource: Resources.validatingWebhookConfigurations },
};

/**
 * The fields of our own two admission webhooks with conditions, as the operator writes them; the conditions are another matter. They are asked about
 * creations too: the conditions are to keep none of these out.
 */
function fieldsOfOurs(phase: Phase): Readonly<Record<string, unknown>> {
  const ours = webhookConfigurations({
    namespace: "cosign-system",
    servicePort: 443,
    caBundle: "",
    namespaceUid: "none",
    scope: OPT_IN,
    reads: READS_NOTHING,
  });
  const found = ours.find(({ kind, metadata }) => kind === KINDS[phase].kind && metadata.name === UPDATES_NAME);
  const fields = found?.webhooks[0] ?? {};
  const rules = (fields["rules"] as readonly object[]).map((rule) => ({ ...rule, operations: ["CREATE", "UPDATE"] }));
  return { ...fields, rules };
}

/** Pairs of webhooks, named, for one namespace: each allows everything, and what it was asked is recorded. */
export class Recorder {
  /** Every call since `forget`. */
  calls: Call[] = [];
  readonly #client: ConnectedKubeClient;
  readonly #server: RunningServer;
  readonly #mutators: Map<string, Mutator>;
  readonly #namespace: string;
  readonly #cert: string;
  readonly #made: (readonly [Resource, string])[] = [];

  private constructor(
    client: ConnectedKubeClient,
    namespace: string,
    cert: string,
    server: RunningServer,
    mutators: Map<string, Mutator>,
  ) {
    this.#client = client;
    this.#namespace = namespace;
    this.#cert = cert;
    this.#server = server;
    this.#mutators = mutators;
  }

  static async start(client: ConnectedKubeClient, namespace: string): Promise<Recorder> {
    const tls = selfSigned();
    const mutators = new Map<string, Mutator>();
    let recorder: Recorder | undefined;
    const handler: Parameters<typeof startServer>[0]["handler"] = async (incoming, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of incoming) chunks.push(chunk as Buffer);
      const request = decodeReview(JSON.parse(Buffer.concat(chunks).toString("utf8")));
      const [, phase, webhook = ""] = (incoming.url ?? "").split("?")[0]?.split("/") ?? [];
      recorder?.calls.push({ webhook, phase: phase as Phase, request });
      const patch = phase === "mutate" ? (mutators.get(webhook)?.(request) ?? []) : [];
      const patched = { patchType: "JSONPatch", patch: Buffer.from(JSON.stringify(patch)).toString("base64") };
      response.setHeader("content-type", "application/json");
      response.end(
        JSON.stringify({
          apiVersion: "admission.k8s.io/v1",
          kind: "AdmissionReview",
          response: { uid: request.uid, allowed: true, ...(patch.length > 0 && patched) },
        }),
      );
    };
    const server = await startServer({ handler, port: 0, host: "127.0.0.1", tls, log: silentLog });
    recorder = new Recorder(client, namespace, tls.cert, server, mutators);
    return recorder;
  }

  /** Has the API server call webhooks of these names, each under its conditions; `configuration` names the objects, in whose order it calls. */
  async install(
    configuration: string,
    webhooks: Readonly<Record<string, readonly MatchCondition[]>>,
    mutator?: Mutator,
  ): Promise<void> {
    for (const name of Object.keys(webhooks)) if (mutator !== undefined) this.#mutators.set(name, mutator);
    for (const phase of ["mutate", "validate"] as const) {
      const { kind, resource } = KINDS[phase];
      const name = `${configuration}.${this.#namespace}`;
      const items = Object.entries(webhooks).map(([webhook, matchConditions]) => ({
        ...fieldsOfOurs(phase),
        name: `${webhook}.test.entrepot.dev`,
        matchConditions,
        timeoutSeconds: 10,
        namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": this.#namespace } },
        clientConfig: {
          caBundle: Buffer.from(this.#cert).toString("base64"),
          url: `https://127.0.0.1:${this.#server.port}/${phase}/${webhook}`,
        },
      }));
      await this.#client.create<KubeObject>(resource, {
        apiVersion: "admissionregistration.k8s.io/v1",
        kind,
        metadata: { name },
        webhooks: items,
      } as KubeObject);
      this.#made.push([resource, name]);
    }
  }

  forget(): void {
    this.calls = [];
  }

  async uninstall(): Promise<void> {
    for (const [resource, name] of this.#made.splice(0)) await this.#client.delete(resource, name);
  }

  async close(): Promise<void> {
    await this.uninstall();
    await this.#server.close();
  }
}
