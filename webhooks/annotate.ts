import { createHash } from "node:crypto";
import { stringMap } from "../core/admission/request.ts";
import { fitRecords, fits, roomFor } from "../core/cache/budget.ts";
import { isUsable, lifeOf } from "../core/cache/freshness.ts";
import { CACHE_ANNOTATION, contentsKey, type SealedRecords, type VerificationRecord } from "../core/cache/record.ts";
import type { Digest } from "../core/image/reference.ts";
import { fieldsOf } from "../core/json.ts";
import type { Case } from "./case.ts";
import { pinKey } from "./digests.ts";
import type { Judgement } from "./judge.ts";
import type { Memory } from "./memory.ts";

type Records = Map<string, Map<string, VerificationRecord>>;

interface Needed {
  readonly records: Records;
  readonly pins: Map<string, Digest>;
}

/** What is to be sealed: all that was established, but for policies whose results are never cached. */
function needed(judgement: Judgement, { snapshot, context }: Case): Needed {
  const uncached = new Set(snapshot.policies.filter((policy) => lifeOf(policy, context) <= 0).map(({ uid }) => uid));
  const records: Records = new Map();
  const pins = new Map<string, Digest>();
  for (const { task, digest, records: established } of judgement.results) {
    const found = established.filter(({ record }) => !uncached.has(record.policyUid));
    for (const { image, record } of found) {
      const byPolicy = records.get(image) ?? new Map<string, VerificationRecord>();
      records.set(image, byPolicy.set(record.policyUid, record));
    }
    if (found.length > 0 && digest !== undefined && task.reference.digest === undefined)
      pins.set(pinKey(task.reference), digest);
  }
  return { records, pins };
}

function holds(own: SealedRecords, { records, pins }: Needed, at: Case): boolean {
  const policies = new Map(at.snapshot.policies.map((policy) => [policy.uid, policy]));
  const everyRecord = [...records].every(([image, byPolicy]) =>
    [...byPolicy.keys()].every((uid) => {
      const record = own.records.get(image)?.get(uid);
      const policy = policies.get(uid);
      return record !== undefined && policy !== undefined && isUsable(record, policy, at.context);
    }),
  );
  return everyRecord && [...pins].every(([tag, digest]) => own.pins.get(tag) === digest);
}

/** A tag that was judged and is not (any more) what the annotation pins it to: inherited, that pin would run what was refused. */
function contradicts(own: SealedRecords, judgement: Judgement): boolean {
  return judgement.results.some(({ task, digest }) => {
    const pin = task.reference.digest === undefined ? own.pins.get(pinKey(task.reference)) : undefined;
    return pin !== undefined && pin !== digest;
  });
}

/** An ephemeral container is judged alone; the records of the Pod's other images stay. */
function merged(own: SealedRecords | undefined, { records, pins }: Needed, at: Case): SealedRecords {
  const partial = at.request.operation === "UPDATE" && at.request.kind === "Pod" && own !== undefined;
  const base = partial ? own : undefined;
  return {
    cluster: at.snapshot.cluster,
    epoch: at.snapshot.config.epoch,
    records: new Map([...(base?.records ?? []), ...records]),
    pins: new Map([...(base?.pins ?? []), ...pins]),
  };
}

function otherAnnotationBytes(at: Case): number {
  const annotations = stringMap(fieldsOf(at.request.object["metadata"])?.["annotations"]);
  return Object.entries(annotations)
    .filter(([key]) => key !== CACHE_ANNOTATION)
    .reduce((sum, [key, value]) => sum + Buffer.byteLength(key) + Buffer.byteLength(value), 0);
}

/**
 * The annotation that the object should carry: exactly the one it has, or had before this UPDATE, when that is sealed and says all that
 * is needed (design D6), a new one when not, none when what it has is no seal of ours and there is nothing to say.
 */
export async function desiredAnnotation(judgement: Judgement, at: Case, memory: Memory): Promise<string | undefined> {
  if (!at.snapshot.config.cacheEnabled) return at.annotation;
  const own = await at.own();
  const need = needed(judgement, at);
  const sound = own !== undefined && !contradicts(own, judgement);
  if (need.records.size === 0) return sound ? at.annotation : undefined;
  if (sound && holds(own, need, at)) return at.annotation;
  const before = await at.before();
  if (before !== undefined && !contradicts(before, judgement) && holds(before, need, at)) return at.previous;
  return sealed(merged(own, need, at), otherAnnotationBytes(at), at, memory);
}

/** Names what records say that are cut to `room`; short, since they may be of thousands of images. */
function cutKey(key: string, room: number): string {
  return `${createHash("sha256").update(key).digest("hex")} in ${room}`;
}

function sealed(records: SealedRecords, otherBytes: number, at: Case, memory: Memory): string | undefined {
  const { sealer: by } = at.snapshot;
  const key = contentsKey(records);
  const whole = memory.sealed.get(key);
  if (whole?.by === by && fits(whole.annotation, otherBytes)) return whole.annotation;
  const keyOfCut = cutKey(key, roomFor(otherBytes));
  const cut = memory.sealed.get(keyOfCut);
  if (cut?.by === by) return cut.annotation;
  const fitting = fitRecords(records, otherBytes);
  if (fitting === undefined) return undefined;
  const annotation = by.seal(fitting.text);
  memory.sealed.set(fitting.sealed === records ? key : keyOfCut, { by, annotation });
  return annotation;
}
