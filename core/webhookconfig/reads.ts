import { defaultClusterImagePolicy, type PolicySource } from "../policy/defaults.ts";

/** What `spec.policy` of ClusterImagePolicies sees of the object under admission itself. */
export interface PolicyReads {
  /** Some policy has `includeSpec`. */
  readonly spec: boolean;
  /** Some policy has `includeObjectMeta`. */
  readonly metadata: boolean;
}

export const READS_NOTHING: PolicyReads = { spec: false, metadata: false };
export const READS_EVERYTHING: PolicyReads = { spec: true, metadata: true };

/** What a policy as it is stored reads, whether or not it compiles. */
export function readsOf(policy: PolicySource): PolicyReads {
  const block = defaultClusterImagePolicy(policy).policy;
  return { spec: block?.includeSpec === true, metadata: block?.includeObjectMeta === true };
}

/** What all of them read together. */
export function joinReads(all: readonly PolicyReads[]): PolicyReads {
  return { spec: all.some(({ spec }) => spec), metadata: all.some(({ metadata }) => metadata) };
}

/** Whether whoever is shown `some` is shown all that `wanted` reads. */
export function covers(some: PolicyReads, wanted: PolicyReads): boolean {
  return (some.spec || !wanted.spec) && (some.metadata || !wanted.metadata);
}
