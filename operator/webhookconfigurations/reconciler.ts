import { Resources } from "../../adapters/kube/resources.ts";
import type { KubeClient, KubeObject, Resource } from "../../adapters/kube/types.ts";
import type { Log } from "../../adapters/telemetry/log.ts";
import { CA_CERT, readMaterial, trustBundle } from "../../core/certificates/material.ts";
import { type WebhookConfiguration, webhookConfigurations } from "../../core/webhookconfig/desired.ts";
import { hasDrifted } from "../../core/webhookconfig/drift.ts";
import { REWRITING_NAME, type RewriteMode, rewritingConfiguration } from "../../core/webhookconfig/rewriting.ts";
import type { EnforcementScope } from "../../core/webhookconfig/scope.ts";
import type { ClusterImagePolicyObject } from "../../crds/index.ts";
import { CERTIFICATES_SECRET } from "../certificates/reconciler.ts";
import type { Objects, SecretObject } from "../resources.ts";
import type { Reconcile } from "../runtime/controller.ts";
import { secretFiles } from "../secrets.ts";
import { wantedReads } from "./reads.ts";

/** What the reconciler of the webhook configurations works with. */
export interface WebhookConfigurationDependencies {
  readonly client: Pick<KubeClient, "create" | "replace" | "delete" | "get">;
  readonly namespace: string;
  /** The port of the Service in front of the webhooks. */
  readonly servicePort: number;
  /** The namespaces whose workloads are verified. */
  readonly scope: EnforcementScope;
  readonly secrets: Objects<SecretObject>;
  /** What they read of objects decides which UPDATEs reach the webhooks. */
  readonly policies: Pick<Objects<ClusterImagePolicyObject>, "list">;
  /** Whose Pods are given the caches' names, as last known. */
  readonly rewriteImages: () => RewriteMode;
  /** The live configurations of ours, of both kinds. */
  readonly configurations: () => readonly KubeObject[];
  readonly log: Log;
}

const RESOURCES: Readonly<Record<WebhookConfiguration["kind"], Resource>> = {
  MutatingWebhookConfiguration: Resources.mutatingWebhookConfigurations,
  ValidatingWebhookConfiguration: Resources.validatingWebhookConfigurations,
};

/**
 * Keeps the webhook configurations exactly as they should be (core/webhookconfig/desired.ts), with the authorities of the certificate
 * Secret; that of rewriting goes when rewriting is off. Before there is a certificate nothing is written: a webhook that nobody can answer would only lock namespaces.
 */
export function webhookConfigurationReconciler(dependencies: WebhookConfigurationDependencies): Reconcile {
  const { client, namespace, servicePort, scope, log } = dependencies;
  return async (_key, signal) => {
    const secret = dependencies.secrets.get(`${namespace}/${CERTIFICATES_SECRET}`);
    const caBundle = trustBundle(readMaterial(secretFiles(secret, [CA_CERT])));
    if (caBundle === "") return {}; // the Secret's next version brings us back
    const { metadata } = await client.get(Resources.namespaces, namespace, { signal });
    const live = dependencies.configurations();
    const reads = wantedReads(dependencies.policies.list(), live);
    const input = { namespace, servicePort, scope, reads, caBundle, namespaceUid: metadata.uid ?? "" };
    const rewriting = rewritingConfiguration(input, dependencies.rewriteImages());
    for (const wanted of [...webhookConfigurations(input), ...(rewriting === undefined ? [] : [rewriting])]) {
      const found = live.find(({ kind, metadata: { name } }) => kind === wanted.kind && name === wanted.metadata.name);
      const resource = RESOURCES[wanted.kind];
      if (found === undefined) {
        await client.create<KubeObject>(resource, wanted, { signal });
        log.info("webhook configuration created", { kind: wanted.kind, name: wanted.metadata.name });
      } else if (hasDrifted(wanted, found)) {
        const merged = {
          ...found.metadata,
          labels: { ...found.metadata.labels, ...wanted.metadata.labels },
          ownerReferences: wanted.metadata.ownerReferences,
        };
        await client.replace<KubeObject>(resource, { ...wanted, metadata: merged }, { signal });
        log.info("webhook configuration put right", { kind: wanted.kind, name: wanted.metadata.name });
      }
    }
    const surplus = live.find(({ metadata: { name } }) => name === REWRITING_NAME);
    if (rewriting === undefined && surplus !== undefined) {
      await client.delete(Resources.mutatingWebhookConfigurations, REWRITING_NAME, { signal });
      log.info("webhook configuration deleted", { kind: surplus.kind, name: REWRITING_NAME });
    }
    return {};
  };
}
