import { WORKLOAD_KINDS, type WorkloadKind } from "../admission/workload.ts";
import { matchConditions } from "./match.ts";
import type { PolicyReads } from "./reads.ts";
import { type EnforcementScope, namespaceSelector } from "./scope.ts";

/** Name of the admission webhooks, which refusals carry, and of the two configurations that they have for CREATE. */
export const ADMISSION_NAME = "policy.sigstore.dev";
/**
 * Name of the two configurations for UPDATE. They are apart because of their conditions: the API server prepares an object for these before it looks at the
 * operation, which every new Pod would pay for. The webhooks in them have the same name as for CREATE.
 */
export const UPDATES_NAME = "updates.policy.sigstore.dev";
export const POLICY_DEFAULTING_NAME = "defaulting.clusterimagepolicy.sigstore.dev";
export const POLICY_VALIDATION_NAME = "validating.clusterimagepolicy.sigstore.dev";
/** The Service in front of the admission server; its name is in the serving certificate. */
export const WEBHOOK_SERVICE = "webhook";

const ADMISSION_TIMEOUT_SECONDS = 25;
const POLICY_TIMEOUT_SECONDS = 10;

/** What the configurations depend on. */
export interface WebhookInput {
  readonly namespace: string;
  /** The port of the Service. */
  readonly servicePort: number;
  /** PEM, one certificate or several. */
  readonly caBundle: string;
  /** The live uid of the system namespace: the configurations go when it goes, so that no cluster is left with webhooks that nobody answers. */
  readonly namespaceUid: string;
  readonly scope: EnforcementScope;
  /** What policies read of objects: an UPDATE that changes none of it does not reach the webhooks. */
  readonly reads: PolicyReads;
}

/** A Mutating- or ValidatingWebhookConfiguration with every field that the API server would default, so that live ones compare exactly. */
export interface WebhookConfiguration {
  readonly apiVersion: "admissionregistration.k8s.io/v1";
  readonly kind: "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration";
  readonly metadata: {
    readonly name: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly ownerReferences: readonly {
      readonly apiVersion: string;
      readonly kind: string;
      readonly name: string;
      readonly uid: string;
    }[];
  };
  readonly webhooks: readonly Readonly<Record<string, unknown>>[];
}

type Operation = "CREATE" | "UPDATE";

/** The resources of a kind that a webhook is asked about. What brings no image gives the mutating one nothing to seal. */
function resourcesOf(row: WorkloadKind, isLast: boolean): readonly string[] {
  const parts = [...row.subresources, ...(isLast ? (row.imageless ?? []) : [])];
  return [row.plural, ...parts.map((part) => `${row.plural}/${part}`)];
}

function workloadRules(kinds: readonly WorkloadKind[], operation: Operation, isLast: boolean): readonly object[] {
  const groups = [...new Set(kinds.map((kind) => kind.group))];
  return groups.map((group) => {
    const rows = kinds.filter((kind) => kind.group === group);
    return {
      apiGroups: [group],
      apiVersions: [...new Set(rows.flatMap((row) => row.versions))],
      operations: [operation],
      resources: rows.flatMap((row) => resourcesOf(row, isLast)),
      scope: "Namespaced",
    };
  });
}

/** What all webhooks have in common: they fail closed, for every object, without side effects. */
export function webhook(input: WebhookInput, name: string, path: string): Readonly<Record<string, unknown>> {
  return {
    name,
    admissionReviewVersions: ["v1"],
    clientConfig: {
      caBundle: Buffer.from(input.caBundle, "utf8").toString("base64"),
      service: { namespace: input.namespace, name: WEBHOOK_SERVICE, path, port: input.servicePort },
    },
    failurePolicy: "Fail",
    matchPolicy: "Equivalent",
    sideEffects: "None",
    objectSelector: {},
  };
}

/** The metadata of a configuration. */
export function metadataOf(input: WebhookInput, name: string): WebhookConfiguration["metadata"] {
  return {
    name,
    labels: {
      "app.kubernetes.io/name": "entrepot",
      "app.kubernetes.io/component": "webhook",
      "app.kubernetes.io/managed-by": "entrepot",
    },
    ownerReferences: [{ apiVersion: "v1", kind: "Namespace", name: input.namespace, uid: input.namespaceUid }],
  };
}

const apiVersion = "admissionregistration.k8s.io/v1";

/**
 * The webhook configurations (reference: policy-controller's config/500 and 501), from the table of workload kinds. Those for UPDATE come first: what takes
 * UPDATEs over is there before what had them lets go. That of rewriting, which may be off, is in
 * `rewriting.ts`.
 */
export function webhookConfigurations(
  input: WebhookInput,
  kinds: readonly WorkloadKind[] = WORKLOAD_KINDS,
): readonly WebhookConfiguration[] {
  const metadata = (name: string) => metadataOf(input, name);
  const admission = (operation: Operation, isLast: boolean) => ({
    rules: workloadRules(kinds, operation, isLast),
    namespaceSelector: namespaceSelector(input.scope, input.namespace),
    timeoutSeconds: ADMISSION_TIMEOUT_SECONDS,
    ...(operation === "UPDATE" && { matchConditions: matchConditions(input.reads, kinds) }),
  });
  const pair = (name: string, operation: Operation): readonly WebhookConfiguration[] => [
    {
      apiVersion,
      kind: "MutatingWebhookConfiguration",
      metadata: metadata(name),
      webhooks: [
        {
          ...webhook(input, ADMISSION_NAME, "/mutations"),
          ...admission(operation, false),
          reinvocationPolicy: "IfNeeded",
        },
      ],
    },
    {
      apiVersion,
      kind: "ValidatingWebhookConfiguration",
      metadata: metadata(name),
      webhooks: [{ ...webhook(input, ADMISSION_NAME, "/validations"), ...admission(operation, true) }],
    },
  ];
  const policies = {
    rules: [
      {
        apiGroups: ["policy.sigstore.dev"],
        apiVersions: ["v1alpha1", "v1beta1"],
        operations: ["CREATE", "UPDATE"],
        resources: ["clusterimagepolicies", "trustroots"],
        scope: "Cluster",
      },
    ],
    namespaceSelector: {},
    timeoutSeconds: POLICY_TIMEOUT_SECONDS,
  };
  return [
    ...pair(UPDATES_NAME, "UPDATE"),
    ...pair(ADMISSION_NAME, "CREATE"),
    {
      apiVersion,
      kind: "MutatingWebhookConfiguration",
      metadata: metadata(POLICY_DEFAULTING_NAME),
      webhooks: [
        { ...webhook(input, POLICY_DEFAULTING_NAME, "/defaulting"), ...policies, reinvocationPolicy: "Never" },
      ],
    },
    {
      apiVersion,
      kind: "ValidatingWebhookConfiguration",
      metadata: metadata(POLICY_VALIDATION_NAME),
      webhooks: [{ ...webhook(input, POLICY_VALIDATION_NAME, "/validating"), ...policies }],
    },
  ];
}
