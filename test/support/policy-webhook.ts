// The endpoints for policies and trust roots, served from the test's process to the cluster's API server.
import { type RunningServer, startServer } from "../../adapters/http/server.ts";
import type { ConnectedKubeClient } from "../../adapters/kube/client.ts";
import { Resources } from "../../adapters/kube/resources.ts";
import type { KubeObject, Resource } from "../../adapters/kube/types.ts";
import { silentLog } from "../../adapters/telemetry/log.ts";
import { createRegistry } from "../../adapters/telemetry/metrics.ts";
import { webhookConfigurations } from "../../core/webhookconfig/desired.ts";
import { READS_NOTHING } from "../../core/webhookconfig/reads.ts";
import { OPT_IN } from "../../core/webhookconfig/scope.ts";
import { WebhookMetrics } from "../../webhooks/metrics.ts";
import { type PolicyEndpointOptions, policyEndpoints } from "../../webhooks/policy-endpoints.ts";
import { admissionHandler } from "../../webhooks/server.ts";
import { selfSigned } from "./self-signed.ts";

/** What is asked about policies and trust roots, as long as it runs. */
export interface PolicyWebhook {
  /** Ends the server, and with it its configurations. */
  close(): Promise<void>;
}

const RESOURCES: Readonly<Record<string, Resource>> = {
  MutatingWebhookConfiguration: Resources.mutatingWebhookConfigurations,
  ValidatingWebhookConfiguration: Resources.validatingWebhookConfigurations,
};

/** Our configurations of the two endpoints, by URL instead of by Service. */
function configurations(name: string, port: number, cert: string): readonly KubeObject[] {
  const all = webhookConfigurations({
    namespace: "default",
    servicePort: port,
    caBundle: cert,
    namespaceUid: "none",
    scope: OPT_IN,
    reads: READS_NOTHING,
  });
  return all
    .filter(({ metadata }) => metadata.name.endsWith(".clusterimagepolicy.sigstore.dev"))
    .map(({ apiVersion, kind, webhooks }) => ({
      apiVersion,
      kind,
      metadata: { name },
      webhooks: webhooks.map((webhook) => {
        const { caBundle, service } = webhook["clientConfig"] as { caBundle: string; service: { path: string } };
        return { ...webhook, clientConfig: { caBundle, url: `https://127.0.0.1:${port}${service.path}` } };
      }),
    }));
}

/** Serves the endpoints and has the API server ask them; `name` names the configurations. */
export async function startPolicyWebhook(
  client: ConnectedKubeClient,
  name: string,
  options: PolicyEndpointOptions,
): Promise<PolicyWebhook> {
  const tls = selfSigned();
  const metrics = new WebhookMetrics(createRegistry("test", "0"));
  const handler = admissionHandler(new Map(policyEndpoints(options)), metrics, silentLog);
  const server: RunningServer = await startServer({ handler, port: 0, host: "127.0.0.1", tls, log: silentLog });
  const objects = configurations(name, server.port, tls.cert);
  for (const object of objects) await client.create(resourceOf(object), object);
  return {
    async close() {
      for (const object of objects) await client.delete(resourceOf(object), name);
      await server.close();
    },
  };
}

function resourceOf({ kind }: KubeObject): Resource {
  const resource = RESOURCES[kind];
  if (resource === undefined) throw new Error(`${kind} is no webhook configuration`);
  return resource;
}
