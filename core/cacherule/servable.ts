/** The parts of a condition that decide (metav1.Condition). */
export interface RuleCondition {
  readonly type: string;
  readonly status: string;
  readonly observedGeneration?: number;
  readonly reason?: string;
  readonly message?: string;
}

/** The parts of a CacheRule object that the decisions here read. */
export interface CacheRuleView {
  readonly metadata: {
    readonly name: string;
    readonly uid?: string;
    readonly generation?: number;
    readonly creationTimestamp?: string;
    readonly deletionTimestamp?: string;
  };
  readonly spec: {
    readonly registryRef: { readonly name: string };
    readonly source: string;
    readonly target: string;
    readonly suspend?: boolean;
  };
  readonly status?: { readonly conditions?: readonly RuleCondition[] };
}

/** What the operator last found wrong with the rule's upstream (unreachable, credentials refused), or undefined. */
export function upstreamProblem(rule: CacheRuleView): string | undefined {
  const failing = ["CredentialsHealthy", "UpstreamReachable"]
    .map((type) => rule.status?.conditions?.find((candidate) => candidate.type === type))
    .find((condition) => condition?.status === "False");
  return failing === undefined ? undefined : (failing.message ?? failing.reason ?? `${failing.type} is False`);
}

/** Whether a condition is True. */
export function conditionIsTrue(rule: CacheRuleView, type: string): boolean {
  return rule.status?.conditions?.find((candidate) => candidate.type === type)?.status === "True";
}

/**
 * Whether a gateway of CacheRegistry `registryName` may serve this rule: it belongs to the registry, is neither being deleted nor
 * suspended, and was accepted. Accepted at whichever generation: what acceptance is about (source, target, registryRef) cannot
 * change in the life of an object, and an edit of the rest must not interrupt pulls until the operator has seen it. Anything unknown means no.
 */
export function servable(rule: CacheRuleView, registryName: string): boolean {
  const { metadata, spec } = rule;
  const here =
    spec.registryRef.name === registryName && metadata.uid !== undefined && metadata.generation !== undefined;
  return here && metadata.deletionTimestamp === undefined && spec.suspend !== true && conditionIsTrue(rule, "Accepted");
}
