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
  /** `dev.entrepot.cache-ttl`, now in force for policies without an annotation of their own. */
  readonly cacheTtlSeconds: number;
}

/** Webhook replicas' clocks may differ by this much; what comes from further in the future is not believed. */
export const CLOCK_SKEW_SECONDS = 60;

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

/** How long results of `policy` are believed now, in seconds: as its own annotation says, else the ConfigMap. 0: they are never cached. */
export function lifeOf(policy: CompiledPolicy | undefined, context: Pick<CacheContext, "cacheTtlSeconds">): number {
  return policy?.cacheTtl.seconds ?? context.cacheTtlSeconds;
}

/** When a record with `life` seconds to live stops counting: a shorter life set later ends it early, a longer one extends nothing sealed. */
export function endOf({ issued, expires }: Pick<VerificationRecord, "issued" | "expires">, life: number): number {
  return Math.min(expires, issued + life);
}

/** Whether a record that may live `life` seconds is alive, whatever it is about. With no life to live none is, whoever's clock is ahead. */
export function isAlive(record: Pick<VerificationRecord, "issued" | "expires">, life: number, now: Date): boolean {
  const seconds = now.getTime() / 1000;
  return life > 0 && record.issued <= seconds + CLOCK_SKEW_SECONDS && seconds < endOf(record, life);
}

/**
 * Whether `record` answers for `policy` now (design D2), with `life` seconds to live since it was issued. Any disagreement is a
 * miss, never an error.
 */
export function isUsable(
  record: VerificationRecord,
  policy: CompiledPolicy,
  context: CacheContext,
  life = lifeOf(policy, context),
): boolean {
  return (
    record.policyUid === policy.uid &&
    record.policyHash === policy.hash &&
    record.scope === scopeOf(policy, context.namespace) &&
    isAlive(record, life, context.now)
  );
}

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
