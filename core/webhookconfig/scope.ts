export const INCLUDE_LABEL = "policy.sigstore.dev/include";
const NAME_LABEL = "kubernetes.io/metadata.name"; // set by the API server, on every namespace

/**
 * Whose workloads are verified. `opt-in`: namespaces labelled `policy.sigstore.dev/include: "true"`, as with policy-controller;
 * `cluster`: all but those labelled "false". Excluded names are never verified, whatever their labels say.
 */
export interface EnforcementScope {
  readonly kind: "opt-in" | "cluster";
  readonly excluded: readonly string[];
}

/** policy-controller's. */
export const OPT_IN: EnforcementScope = { kind: "opt-in", excluded: [] };

/** What two variables say (`opt-in` or `cluster`; names separated by commas), or a problem with them, in words. */
export function readScope(kind: string, excluded: string): EnforcementScope | string {
  if (kind !== "opt-in" && kind !== "cluster") return `"${kind}" is neither opt-in nor cluster`;
  const names = excluded.split(",").map((name) => name.trim());
  const given = names.filter((name) => name !== "");
  const wrong = given.find((name) => !/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name));
  return wrong === undefined ? { kind, excluded: given } : `"${wrong}" is no name of a namespace`;
}

/**
 * The namespaceSelector of the admission webhooks. Ours and kube-system are never verified: with all replicas gone nothing there
 * could come back through a webhook that needs them (design D16).
 */
export function namespaceSelector({ kind, excluded }: EnforcementScope, systemNamespace: string): object {
  const included =
    kind === "opt-in"
      ? { key: INCLUDE_LABEL, operator: "In", values: ["true"] }
      : { key: INCLUDE_LABEL, operator: "NotIn", values: ["false"] };
  return { matchExpressions: [included, neverNamed(excluded, systemNamespace)] };
}

/** The requirement of a selector of namespaces that leaves out ours, kube-system, and those excluded by name. */
export function neverNamed(excluded: readonly string[], systemNamespace: string): object {
  return { key: NAME_LABEL, operator: "NotIn", values: [...new Set([systemNamespace, "kube-system", ...excluded])] };
}
