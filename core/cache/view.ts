import { type Fields, fieldsOf } from "../json.ts";
import { type Present, type SealReport, standingOf } from "./inspect.ts";
import type { SealedRecords } from "./record.ts";

/** One record, for people and scripts. */
export interface RecordView {
  readonly image: string;
  readonly policy: { readonly name: string; readonly uid: string; readonly resourceVersion: string };
  /** Hash of the compiled policy. */
  readonly policyHash: string;
  readonly scope?: string;
  readonly issued: string;
  readonly expires: string;
  /** How long until then, such as `23h 59m`; `-` before it when it is past. */
  readonly expiresIn: string;
  /** What the authorities found, by name, in the shape of the annotation. */
  readonly authorities: Fields;
  readonly config: boolean;
  readonly valid: boolean;
  readonly reasons: readonly string[];
  readonly hints: readonly string[];
}

/** One annotation, for people and scripts. Records are there only where the seal holds: nobody vouches for others. */
export interface AnnotationView {
  readonly seal:
    | { readonly holds: true; readonly kid: string; readonly made: string; readonly retired?: string }
    | { readonly holds: false; readonly reason: string; readonly why: string; readonly claimedKid?: string };
  readonly cluster?: string;
  readonly epoch?: string;
  readonly pins?: Readonly<Record<string, string>>;
  readonly records?: readonly RecordView[];
}

const instant = (seconds: number): string => `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`;

const UNITS = [
  ["d", 86_400],
  ["h", 3_600],
  ["m", 60],
  ["s", 1],
] as const;

/** A span of seconds in its two largest units, such as `1d 4h`. */
export function span(seconds: number): string {
  let left = Math.floor(Math.abs(seconds));
  const parts = UNITS.flatMap(([unit, size]) => {
    const count = Math.floor(left / size);
    left -= count * size;
    return count === 0 ? [] : [`${count}${unit}`];
  });
  return `${seconds < 0 ? "-" : ""}${parts.slice(0, 2).join(" ") || "0s"}`;
}

/** `text` without what a terminal might act on: subjects of certificates are written by strangers. */
export function printable(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (found) => `\\u{${found.codePointAt(0)?.toString(16)}}`);
}

function clean(value: unknown): unknown {
  if (typeof value === "string") return printable(value);
  if (Array.isArray(value)) return value.map(clean);
  const fields = fieldsOf(value);
  if (fields === undefined) return value;
  return Object.fromEntries(Object.entries(fields).map(([name, field]) => [printable(name), clean(field)]));
}

function recordsOf(sealed: SealedRecords, present: Present): readonly RecordView[] {
  return [...sealed.records].flatMap(([image, byPolicy]) =>
    [...byPolicy.values()].map((record): RecordView => {
      const { reasons, hints } = standingOf(record, sealed, present);
      const { policyName, policyUid, resourceVersion, policyHash, scope, issued, expires } = record;
      return {
        image,
        policy: { name: policyName, uid: policyUid, resourceVersion },
        policyHash,
        ...(scope !== undefined && { scope }),
        issued: instant(issued),
        expires: instant(expires),
        expiresIn: span(expires - present.now.getTime() / 1000),
        authorities: { ...record.authorities },
        config: record.config !== undefined,
        valid: reasons.length === 0,
        reasons,
        hints,
      };
    }),
  );
}

/** Everything that can be said about an annotation, with no character in it that a terminal would act on. */
export function viewOf(report: SealReport, present: Present): AnnotationView {
  if (!report.holds) {
    const { reason, why, claimedKid } = report;
    const seal = { holds: false, reason, why, ...(claimedKid !== undefined && { claimedKid }) };
    return clean({ seal }) as AnnotationView;
  }
  const { kid, made, retired, sealed } = report;
  return clean({
    seal: { holds: true, kid, made: instant(made), ...(retired !== undefined && { retired: instant(retired) }) },
    cluster: sealed.cluster,
    epoch: sealed.epoch,
    pins: Object.fromEntries(sealed.pins),
    records: recordsOf(sealed, present),
  }) as AnnotationView;
}
