import type { SealedRecords } from "./record.ts";
import { writeRecords } from "./record.ts";

/** Our annotation is at most this long: a fraction of the 256 KiB that all annotations of an object may have together. */
const ANNOTATION_LIMIT = 32 * 1024;
/** Kubernetes' limit (apimachinery `TotalAnnotationSizeLimitB`), less room for what others add after us. */
const OBJECT_LIMIT = 224 * 1024;
/** The signature line: header, signature and punctuation. */
const SIGNATURE_ROOM = 512;

/** Whether a whole annotation fits beside `otherAnnotationBytes` on one object. */
export function fits(annotation: string, otherAnnotationBytes: number): boolean {
  return Buffer.byteLength(annotation) <= roomFor(otherAnnotationBytes) + SIGNATURE_ROOM;
}

/** How many bytes of records fit beside `otherAnnotationBytes`: the same for nearly all objects, less for one that is nearly full. */
export function roomFor(otherAnnotationBytes: number): number {
  return Math.min(ANNOTATION_LIMIT, OBJECT_LIMIT - otherAnnotationBytes) - SIGNATURE_ROOM;
}

/** Records, and how they are written. */
export interface Written {
  readonly sealed: SealedRecords;
  readonly text: string;
}

interface Sized {
  readonly image: string;
  readonly bytes: number;
}

/** The images, smallest first. Sizes are those of JSON: near those of YAML, at a fraction of the time. */
function bySize({ records }: SealedRecords): readonly Sized[] {
  return [...records]
    .map(([image, byPolicy]) => ({ image, bytes: Buffer.byteLength(JSON.stringify([image, [...byPolicy]])) }))
    .sort((a, b) => a.bytes - b.bytes || (a.image < b.image ? 1 : -1));
}

/** How many of the first images have room by their sizes, at least 1. */
function guess(images: readonly Sized[], room: number): number {
  let sum = 0;
  const over = images.findIndex(({ bytes }) => {
    sum += bytes;
    return sum > room;
  });
  return over < 0 ? images.length : Math.max(1, over);
}

/** The records without those of `dropped`, and without what pins to their digests. */
function without(sealed: SealedRecords, dropped: readonly Sized[]): SealedRecords {
  if (dropped.length === 0) return sealed;
  const images = new Set(dropped.map(({ image }) => image));
  const digests = new Set([...images].map((image) => image.slice(image.indexOf("@") + 1)));
  return {
    ...sealed,
    records: new Map([...sealed.records].filter(([image]) => !images.has(image))),
    pins: new Map([...sealed.pins].filter(([, pinned]) => !digests.has(pinned))),
  };
}

function writtenWithin(sealed: SealedRecords, room: number): Written | undefined {
  const pinBytes = [...sealed.pins].reduce((sum, [tag, digest]) => sum + tag.length + digest.length, 0);
  if (pinBytes > room) return undefined; // writing is what takes time
  const text = writeRecords(sealed);
  return Buffer.byteLength(text) <= room ? { sealed, text } : undefined;
}

/**
 * The records that fit beside `otherAnnotationBytes` (keys and values) on one object, the largest dropped first; undefined if not
 * even one does. What is dropped costs a verification later, never an object refused because of us. Whoever names thousands of
 * images must not hold up other requests: records are written a few times, and never many more than fit.
 */
export function fitRecords(sealed: SealedRecords, otherAnnotationBytes: number): Written | undefined {
  const room = roomFor(otherAnnotationBytes);
  const images = bySize(sealed);
  let found: Written | undefined;
  let kept = 0;
  let tooMany = images.length + 1;
  let count = guess(images, room);
  while (tooMany - kept > 1) {
    const written = writtenWithin(without(sealed, images.slice(count)), room);
    if (written === undefined) tooMany = count;
    else [kept, found] = [count, written];
    const middle = Math.floor((kept + tooMany) / 2);
    count = kept === 0 ? middle : Math.min(middle, 2 * kept);
  }
  return found;
}
