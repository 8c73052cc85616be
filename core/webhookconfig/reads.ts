import { readsObject } from "../policy/condition.ts";
import { defaultClusterImagePolicy, type PolicySource } from "../policy/defaults.ts";

/** How much of an object's metadata, from nothing to all of it; each includes those before it. */
export const METADATA_READS = ["nothing", "labels", "all"] as const;
export type MetadataReads = (typeof METADATA_READS)[number];

/** What of the object under admission itself decides what `spec.policy` of ClusterImagePolicies says. */
export interface PolicyReads {
  /** Some policy has `includeSpec`. */
  readonly spec: boolean;
  /** `all`: some policy has `includeObjectMeta`. `labels`: some policy reads anything of the object, and its `match` selects by labels. */
  readonly metadata: MetadataReads;
}

export const READS_NOTHING: PolicyReads = { spec: false, metadata: "nothing" };
export const READS_EVERYTHING: PolicyReads = { spec: true, metadata: "all" };

/** What a policy as it is stored reads, whether or not it compiles. */
export function readsOf(policy: PolicySource): PolicyReads {
  const { policy: block = {}, match = [] } = defaultClusterImagePolicy(policy);
  const selects = readsObject(block) && match.some(({ selector }) => selector !== undefined);
  return {
    spec: block.includeSpec === true,
    metadata: block.includeObjectMeta === true ? "all" : selects ? "labels" : "nothing",
  };
}

const level = ({ metadata }: PolicyReads) => METADATA_READS.indexOf(metadata);

/** What all of them read together. */
export function joinReads(all: readonly PolicyReads[]): PolicyReads {
  const most = Math.max(0, ...all.map(level));
  return { spec: all.some(({ spec }) => spec), metadata: METADATA_READS[most] ?? "all" };
}

/** Whether whoever is shown `some` is shown all that `wanted` reads. */
export function covers(some: PolicyReads, wanted: PolicyReads): boolean {
  return (some.spec || !wanted.spec) && level(some) >= level(wanted);
}
