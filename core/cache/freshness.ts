import { canonicalName } from "../image/reference.ts";
import { signedAuthorities } from "../policy/evaluate.ts";
import type { CompiledPolicy, PinnedImage } from "../policy/types.ts";
import type { SealedRecords, VerificationRecord } from "./record.ts";

/** What a record must agree with to be used now. */
export interface CacheContext {
  readonly cluster: string;
  readonly epoch: string;
  /** The workload's namespace, for policies with credentials of their own. */
  readonly namespace: string;
  readonly now: Date;
}

/** The key of an image in the records: `registry/repository@digest`. */
export function recordKey(image: PinnedImage): string {
  return canonicalName({ ...image.reference, digest: image.digest });
}

/** Whether facts of this policy hold only where its own credentials were used. */
export function scopeOf(policy: CompiledPolicy, namespace: string): string | undefined {
  const scoped = signedAuthorities(policy).some(({ source }) => source.pullSecrets.length > 0);
  return scoped ? namespace : undefined;
}

/** Whether sealed records come from this cluster and this epoch; if not, nothing in them counts. */
export function isCurrent(sealed: SealedRecords, context: CacheContext): boolean {
  return sealed.cluster === context.cluster && sealed.epoch === context.epoch;
}

/** Whether `record` answers for `policy` now (design D2). Any disagreement is a miss, never an error. */
export function isUsable(record: VerificationRecord, policy: CompiledPolicy, context: CacheContext): boolean {
  const now = context.now.getTime() / 1000;
  return (
    record.policyUid === policy.uid &&
    record.policyHash === policy.hash &&
    record.scope === scopeOf(policy, context.namespace) &&
    record.issued <= now + CLOCK_SKEW_SECONDS &&
    now < record.expires
  );
}

/** Webhook replicas' clocks may differ by this much; a record from further in the future is not believed. */
const CLOCK_SKEW_SECONDS = 60;

/** The usable record of `image` under `policy`, or undefined. */
export function findRecord(
  sealed: SealedRecords,
  image: PinnedImage,
  policy: CompiledPolicy,
  context: CacheContext,
): VerificationRecord | undefined {
  if (!isCurrent(sealed, context)) return undefined;
  const record = sealed.records.get(recordKey(image))?.get(policy.uid);
  return record !== undefined && isUsable(record, policy, context) ? record : undefined;
}
