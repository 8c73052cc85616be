import type { ClusterImagePolicySpec, EvaluatedPolicy } from "../../crds/index.ts";
import { withoutNulls } from "./defaults.ts";

/** CUE, Rego or CEL behind a URL. */
export interface RemoteDocument {
  readonly url: string;
  /** As the policy writes it: 64 lower-case hexadecimal digits, or it matches nothing. */
  readonly sha256sum: string;
}

/** What a policy needs from outside the cluster, each once, in a stable order. */
export interface PolicyNeeds {
  /** URIs of keys in key management services, as the policy writes them. */
  readonly kms: readonly string[];
  readonly documents: readonly RemoteDocument[];
}

/** What a spec needs from outside the cluster: `key.kms`, `keyless.ca-cert.kms` and `policy.remote`, of the spec and of attestations. */
export function needsOf(spec: ClusterImagePolicySpec | undefined): PolicyNeeds {
  const { authorities = [], policy } = withoutNulls(spec ?? {});
  const keys = authorities.flatMap(({ key, keyless }) => [key, keyless?.["ca-cert"]]);
  const evaluated = [
    policy,
    ...authorities.flatMap(({ attestations = [] }) => attestations.map((each) => each.policy)),
  ];
  const documents = evaluated.flatMap(remoteOf).map((each) => [`${each.sha256sum} ${each.url}`, each] as const);
  return {
    kms: [...new Set(keys.flatMap((key) => (key?.kms ? [key.kms] : [])))].sort(),
    documents: [...new Map(documents)].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, document]) => document),
  };
}

function remoteOf(policy: EvaluatedPolicy | undefined): readonly RemoteDocument[] {
  if (policy?.remote === undefined) return [];
  return [{ url: policy.remote.url ?? "", sha256sum: policy.remote.sha256sum ?? "" }];
}

/** Whether a policy needs nothing from outside the cluster. */
export function needsNothing({ kms, documents }: PolicyNeeds): boolean {
  return kms.length === 0 && documents.length === 0;
}

/** A URL as messages show it: without user, password and query, which may be credentials. */
export function shownUrl(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  return parsed === undefined ? "a text that is no URL" : `${parsed.protocol}//${parsed.host}${parsed.pathname}`;
}
