import type { AdmissionRequest } from "../core/admission/request.ts";
import { WORKLOAD_KINDS } from "../core/admission/workload.ts";
import { isNamespaceName } from "../core/objectnames.ts";

/** What of a request is counted by. */
export interface RequestLabels {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly resource: string;
  readonly namespace: string;
}

/** In place of what the API server does not send to these webhooks: somebody else can, and chooses the words. */
export const OTHER = "other";

const POLICY_VERSIONS = ["v1alpha1", "v1beta1"];
const SERVED = [
  ...WORKLOAD_KINDS,
  {
    group: "policy.sigstore.dev",
    versions: POLICY_VERSIONS,
    plural: "clusterimagepolicies",
    kind: "ClusterImagePolicy",
  },
  { group: "policy.sigstore.dev", versions: POLICY_VERSIONS, plural: "trustroots", kind: "TrustRoot" },
];

/** The request's kind as it is counted: one of a closed set, `other` for all that is not in it. Namespaces are names at least. */
export function requestLabels(request: AdmissionRequest): RequestLabels {
  const served = SERVED.find(
    ({ group, versions, plural, kind }) =>
      group === request.group &&
      kind === request.kind &&
      plural === request.resource &&
      versions.includes(request.version),
  );
  const isNamed = request.namespace === "" || isNamespaceName(request.namespace); // nothing for what is in none
  const namespace = isNamed ? request.namespace : OTHER;
  if (served === undefined) return { group: OTHER, version: OTHER, kind: OTHER, resource: OTHER, namespace };
  return { group: served.group, version: request.version, kind: served.kind, resource: served.plural, namespace };
}
