import type { SealedRecords } from "./record.ts";
import { writeRecords } from "./record.ts";

/** Our annotation is at most this long: a fraction of the 256 KiB that all annotations of an object may have together. */
const ANNOTATION_LIMIT = 32 * 1024;
/** Kubernetes' limit (apimachinery `TotalAnnotationSizeLimitB`), less room for what others add after us. */
const OBJECT_LIMIT = 224 * 1024;
/** The signature line: header, signature and punctuation. */
const SIGNATURE_ROOM = 512;

function without(sealed: SealedRecords, image: string): SealedRecords {
  const records = new Map(sealed.records);
  records.delete(image);
  const digest = image.slice(image.indexOf("@") + 1);
  return { ...sealed, records, pins: new Map([...sealed.pins].filter(([, pinned]) => pinned !== digest)) };
}

function largest(sealed: SealedRecords): string | undefined {
  const sizes = [...sealed.records].map(([image, byPolicy]) => {
    const alone = { ...sealed, records: new Map([[image, byPolicy]]), pins: new Map() };
    return { image, bytes: Buffer.byteLength(writeRecords(alone)) };
  });
  return sizes.sort((a, b) => b.bytes - a.bytes || (a.image < b.image ? -1 : 1))[0]?.image;
}

/** Whether a whole annotation fits beside `otherAnnotationBytes` on one object. */
export function fits(annotation: string, otherAnnotationBytes: number): boolean {
  return Buffer.byteLength(annotation) <= roomFor(otherAnnotationBytes) + SIGNATURE_ROOM;
}

function roomFor(otherAnnotationBytes: number): number {
  return Math.min(ANNOTATION_LIMIT, OBJECT_LIMIT - otherAnnotationBytes) - SIGNATURE_ROOM;
}

/** Records, and how they are written. */
export interface Written {
  readonly sealed: SealedRecords;
  readonly text: string;
}

/**
 * The records that fit beside `otherAnnotationBytes` (keys and values) on one object, the largest dropped first; undefined if not
 * even one does. What is dropped costs a verification later, never an object refused because of us.
 */
export function fitRecords(sealed: SealedRecords, otherAnnotationBytes: number): Written | undefined {
  const room = roomFor(otherAnnotationBytes);
  let fitting = sealed;
  while (fitting.records.size > 0) {
    const text = writeRecords(fitting);
    if (Buffer.byteLength(text) <= room) return { sealed: fitting, text };
    const image = largest(fitting);
    if (image === undefined) return undefined;
    fitting = without(fitting, image);
  }
  return undefined;
}
