// Annotations as this project seals them, in every shape, and a plain model of what each says, made without the code that reads them.
import type { Keyring, SealKey } from "../../core/cache/keyring.ts";
import { type SealedRecords, type VerificationRecord, writeRecords } from "../../core/cache/record.ts";
import { Sealer } from "../../core/cache/seal.ts";
import type { AuthorityMatches, CompiledPolicy } from "../../core/policy/types.ts";
import { SIGNED } from "./scripted-admission.ts";

export const REPOSITORY = "ghcr.io/team/app";
export const IMAGE = `${REPOSITORY}@${SIGNED}`;
export const OTHER_IMAGE = `ghcr.io/team/other@sha256:${"c".repeat(64)}`;

/** One annotation that we sealed, and what it says. */
export interface Sample {
  readonly text: string;
  /** Whether its key is in the ring still. */
  readonly inRing: boolean;
  readonly sealed: SealedRecords;
}

export interface SampleWorld {
  /** By its index: the policy that decides, others, and one with credentials of its own. */
  readonly policies: readonly CompiledPolicy[];
  readonly ring: Keyring;
  /** A key that was in the ring. */
  readonly dropped: SealKey;
  /** Seconds since the epoch. */
  readonly now: number;
}

const SHAPES: readonly AuthorityMatches[] = [
  { key: { signatures: [{ id: "s1" }] } },
  {
    key: { signatures: [{ id: "ab".repeat(32), subject: "\u00e4\ufffd: 'x' \"y\" # &a *b !!c", issuer: "https://i" }] },
  },
  { key: { attestations: { vuln: [{ id: "a1", predicateType: "vuln", digest: SIGNED, subject: "<<" }] } } },
  { key: { static: true }, other: { signatures: [{ id: "yes" }, { id: "0x1" }, { id: "~" }] } },
];

/** Every shape, for every policy; of another cluster, epoch and time; sealed by the active, a retired and a dropped key. */
export async function sealSamples({ policies, ring, dropped, now }: SampleWorld): Promise<readonly Sample[]> {
  const active = new Sealer(ring);
  const [first, second] = ring.keys;
  if (first === undefined || second === undefined) throw new Error("a ring of two keys is needed");
  const { retired: _retired, ...former } = second;
  const retired = new Sealer({ keys: [former] });
  const gone = new Sealer({ keys: [dropped] });
  const record = (policy: CompiledPolicy, more: Partial<VerificationRecord> = {}): VerificationRecord => ({
    policyName: policy.name,
    policyUid: policy.uid,
    resourceVersion: "1",
    policyHash: policy.hash,
    issued: now - 100,
    expires: now + 3_500,
    authorities: SHAPES[0] ?? {},
    ...more,
  });
  const records = (image: string, ...all: readonly VerificationRecord[]): SealedRecords => ({
    cluster: "c1",
    epoch: "0",
    records: new Map([[image, new Map(all.map((one) => [one.policyUid, one]))]]),
    pins: new Map([[`${REPOSITORY}:v1`, SIGNED]]),
  });
  const samples: Sample[] = [];
  const add = async (sealed: SealedRecords, by = active): Promise<void> => {
    samples.push({ text: by.seal(writeRecords(sealed)), inRing: by !== gone, sealed });
  };
  for (const policy of policies) {
    for (const authorities of SHAPES) await add(records(IMAGE, record(policy, { authorities })));
    await add(records(IMAGE, record(policy, { scope: "team" })));
    await add(records(OTHER_IMAGE, record(policy, { config: '{"linux/amd64":{"os":"linux"}}' })));
  }
  const [policy] = policies;
  if (policy === undefined) throw new Error("a policy is needed");
  const usual = records(IMAGE, record(policy));
  await add({ ...usual, cluster: "c2" });
  await add({ ...usual, epoch: "1" });
  await add(records(IMAGE, record(policy, { issued: now - 7_200, expires: now - 3_600 })));
  await add(records(IMAGE, record(policy, { issued: now + 61, expires: now + 3_661 })));
  await add(records(IMAGE, ...policies.map((one) => record(one))));
  const many = Array.from({ length: 300 }, (_, index) => ({ id: String(index).padStart(64, "0") }));
  await add(records(IMAGE, record(policy, { authorities: { key: { signatures: many } } })));
  await add(usual, retired);
  await add(usual, gone);
  return samples;
}

/** What is asked of an annotation. */
export interface Question {
  readonly image: string;
  readonly policy: CompiledPolicy;
  readonly namespace: string;
  /** Whether the policy names credentials of its own. */
  readonly scoped: boolean;
  readonly cluster: string;
  readonly epoch: string;
  /** Seconds since the epoch. */
  readonly at: number;
  readonly ttl: number;
}

/**
 * The record that answers, by the model alone: the bytes must be those of one of the samples (the last newline apart), its key in
 * the ring, and everything that a record is bound to must be what is asked for.
 */
export function answerOf(text: string, samples: readonly Sample[], question: Question): VerificationRecord | undefined {
  const { image, policy, namespace, scoped, cluster, epoch, at, ttl } = question;
  const sample = samples.find(({ text: ours }) => text === ours || `${text}\n` === ours);
  if (sample?.inRing !== true || sample.sealed.cluster !== cluster || sample.sealed.epoch !== epoch) return undefined;
  const record = sample.sealed.records.get(image)?.get(policy.uid);
  if (record === undefined || record.policyHash !== policy.hash) return undefined;
  if (record.scope !== (scoped ? namespace : undefined)) return undefined;
  const alive = at >= record.issued - 60 && at < record.expires && at < record.issued + ttl;
  return alive ? record : undefined;
}
