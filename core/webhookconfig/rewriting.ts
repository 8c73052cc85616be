import type { AdmissionConfig } from "../admission/config.ts";
import { metadataOf, type WebhookConfiguration, type WebhookInput, webhook } from "./desired.ts";
import { neverNamed } from "./scope.ts";

/**
 * Name of the configuration, and of the webhook in it, that gives Pods the caches' names. It sorts after `policy.sigstore.dev`, by which
 * the API server orders them: a new Pod's images are verified by the names that were written.
 */
export const REWRITING_NAME = "rewriting.entrepot.dev";

const REWRITE_LABEL = "entrepot.dev/rewrite";
const REWRITING_TIMEOUT_SECONDS = 5;

/** Whose Pods are rewritten. */
export type RewriteMode = AdmissionConfig["rewriteImages"];

function namespaces({ scope, namespace }: WebhookInput, mode: "labelled" | "all"): object {
  const included =
    mode === "labelled"
      ? { key: REWRITE_LABEL, operator: "In", values: ["enabled"] }
      : { key: REWRITE_LABEL, operator: "NotIn", values: ["disabled"] };
  return { matchExpressions: [included, neverNamed(scope.excluded, namespace)] };
}

/**
 * The webhook configuration of rewriting; undefined when it is off: the API server then asks nobody. It fails open, for a cache must never
 * hold up a Pod. It does not depend on which namespaces are verified, only on those that the installation excludes by name.
 */
export function rewritingConfiguration(input: WebhookInput, mode: RewriteMode): WebhookConfiguration | undefined {
  if (mode === "off") return undefined;
  const rule = (operation: string, resource: string) => ({
    apiGroups: [""],
    apiVersions: ["v1"],
    operations: [operation],
    resources: [resource],
    scope: "Namespaced",
  });
  return {
    apiVersion: "admissionregistration.k8s.io/v1",
    kind: "MutatingWebhookConfiguration",
    metadata: metadataOf(input, REWRITING_NAME),
    webhooks: [
      {
        ...webhook(input, REWRITING_NAME, "/rewriting"),
        rules: [rule("CREATE", "pods"), rule("UPDATE", "pods/ephemeralcontainers")],
        failurePolicy: "Ignore",
        namespaceSelector: namespaces(input, mode),
        objectSelector: { matchExpressions: [{ key: REWRITE_LABEL, operator: "NotIn", values: ["disabled"] }] },
        reinvocationPolicy: "IfNeeded",
        timeoutSeconds: REWRITING_TIMEOUT_SECONDS,
      },
    ],
  };
}
