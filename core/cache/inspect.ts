import { CLOCK_SKEW_SECONDS, endOf } from "./freshness.ts";
import { type Keyring, publicKeyring, retiredAt } from "./keyring.ts";
import type { SealedRecords, VerificationRecord } from "./record.ts";
import { claimedKeyId, type RefusalReason, SEALED_LIMIT, Sealer } from "./seal.ts";

/** What there is to say about the seal of one annotation; `made` and `retired` are the key's, in seconds since the epoch. */
export type SealReport =
  | {
      readonly holds: true;
      readonly kid: string;
      readonly made: number;
      readonly retired?: number;
      readonly sealed: SealedRecords;
    }
  | { readonly holds: false; readonly reason: RefusalReason; readonly why: string; readonly claimedKid?: string };

const WHY: Readonly<Record<RefusalReason, string>> = {
  "too-large": `it is longer than ${SEALED_LIMIT} bytes: no annotation of ours is`,
  unsigned: "it does not end with a signature line as this project writes it",
  header: "the header of its signature is not one that this project writes",
  "unknown-key":
    "none of the keys given has its key id: it was sealed in another cluster, with a key that is gone, or by somebody else",
  signature: "its text is not what was sealed: it was changed afterwards, or signed with another key under this key id",
  format: "it is not in a format that this version reads",
};

/** Opens an annotation as the webhook does, with the public halves of `keyring`, and says by which key, or why not. */
export async function inspectSeal(annotation: string, keyring: Keyring): Promise<SealReport> {
  const { keys } = publicKeyring(keyring);
  const opened = new Sealer({ keys }).open(annotation);
  const kid = claimedKeyId(annotation);
  const key = keys.find((candidate) => candidate.kid === kid);
  if (opened.kind === "opened" && key !== undefined) {
    const { iat: made } = key;
    const retired = retiredAt(key);
    return { holds: true, kid: key.kid, made, ...(retired !== undefined && { retired }), sealed: opened.sealed };
  }
  const reason = opened.kind === "refused" ? opened.reason : "unknown-key";
  return { holds: false, reason, why: WHY[reason], ...(kid !== undefined && { claimedKid: kid }) };
}

/** The policies of a cluster by UID, as far as a record can be compared with them. */
export type LivePolicies = ReadonlyMap<
  string,
  {
    readonly name: string;
    readonly resourceVersion?: string;
    /** By its own annotation: how long its records are believed. */
    readonly cacheTtlSeconds?: number;
  }
>;

/** What a record is held against. What is undefined is not known, and not judged. */
export interface Present {
  readonly now: Date;
  readonly cluster?: string;
  readonly epoch?: string;
  /** How long records are believed of policies that do not say it themselves. */
  readonly cacheTtlSeconds?: number;
  readonly policies?: LivePolicies;
}

/** Why the webhook will not use a record, and what might be so without it being sure. */
export interface Standing {
  readonly reasons: readonly string[];
  readonly hints: readonly string[];
}

function whole({ cluster, epoch }: SealedRecords, present: Present): readonly string[] {
  const foreign = present.cluster !== undefined && present.cluster !== cluster;
  const past = present.epoch !== undefined && present.epoch !== epoch;
  return [
    ...(foreign ? [`sealed in another cluster: ${cluster}, this one is ${present.cluster}`] : []),
    ...(past ? [`of another epoch: ${epoch}, now it is ${present.epoch} (the cache was flushed)`] : []),
  ];
}

/** A shorter life set after a record was sealed ends it early. */
function times(record: VerificationRecord, present: Present): readonly string[] {
  const seconds = present.now.getTime() / 1000;
  const life = present.policies?.get(record.policyUid)?.cacheTtlSeconds ?? present.cacheTtlSeconds;
  const expired = seconds >= record.expires;
  const outlived = !expired && life !== undefined && (life === 0 || seconds >= endOf(record, life));
  return [
    ...(expired ? ["expired"] : []),
    ...(outlived ? [`older than records of this policy may be by now: cache-ttl is ${life}s`] : []),
    ...(record.issued > seconds + CLOCK_SKEW_SECONDS ? ["issued in the future: the clocks differ"] : []),
  ];
}

/**
 * How a record of an annotation whose seal holds stands at present. What the webhook compares, the hash of the compiled policy,
 * takes Secrets and trust roots in, which nobody here has read: what a policy's resourceVersion tells is a hint.
 */
export function standingOf(record: VerificationRecord, sealed: SealedRecords, present: Present): Standing {
  const reasons = [...whole(sealed, present), ...times(record, present)];
  if (present.policies === undefined) return { reasons, hints: [] };
  const policy = present.policies.get(record.policyUid);
  if (policy === undefined) {
    const again = [...present.policies.values()].some(({ name }) => name === record.policyName);
    const why = again ? "was deleted and made anew since" : "does not exist any more";
    return { reasons: [...reasons, `ClusterImagePolicy ${record.policyName} ${why}`], hints: [] };
  }
  const written = policy.resourceVersion !== record.resourceVersion;
  const hint =
    `ClusterImagePolicy ${policy.name} was written since (resourceVersion ${record.resourceVersion}, ` +
    `now ${policy.resourceVersion}): if more than its labels or status changed, the record is not used any more`;
  return { reasons, hints: written ? [hint] : [] };
}
