import { canonicalName } from "../image/reference.ts";
import { alsoNamed, type Conclusion, type JudgedImage } from "./conclude.ts";

/** What an Event says of an object that failed a policy: the two reasons that alerts look for. */
export interface Violation {
  readonly reason: "PolicyViolation" | "PolicyWarning";
  /** The policy's name; empty where no policy is to blame. */
  readonly policy: string;
  readonly note: string;
}

/** Of the reasons that are quoted, in characters; a note has 1024 bytes. */
const QUOTED = 500;

function quoted(text: string): string {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length <= QUOTED ? line : `${line.slice(0, QUOTED)}…`;
}

interface Failure {
  readonly policy: string;
  readonly mode: "enforce" | "warn";
  readonly image: string;
  readonly field: string;
  readonly reasons: readonly string[];
}

function failuresOf({ task, digest, verdicts }: JudgedImage): readonly Failure[] {
  const { reference, field } = task;
  const image = `${canonicalName(digest === undefined ? reference : { ...reference, digest })}${alsoNamed(task)}`;
  return verdicts.flatMap(({ policy, verdict }) =>
    verdict.kind === "pass" ? [] : [{ policy: policy.name, mode: policy.mode, image, field, reasons: verdict.reasons }],
  );
}

function violationOf([first, ...others]: readonly [Failure, ...Failure[]]): Violation {
  const { policy, mode, image, field, reasons } = first;
  const what = mode === "warn" ? `fails policy ${policy}, which only warns` : `fails policy ${policy}`;
  const more = others.length === 0 ? "" : ` (and ${others.length} more)`;
  return {
    reason: mode === "warn" ? "PolicyWarning" : "PolicyViolation",
    policy,
    note: `${quoted(image)} in ${field}${more} ${what}: ${quoted(reasons.join(" "))}`,
  };
}

/**
 * One violation for each policy that an image failed, and one for what is no policy's doing (an image without a policy, a tag where a
 * digest must be). `conclusion` is what the user was told.
 */
export function violations(images: readonly JudgedImage[], conclusion: Conclusion): readonly Violation[] {
  const failures = Map.groupBy(images.flatMap(failuresOf), ({ policy }) => policy);
  const found = [...failures.values()].flatMap(([first, ...others]) =>
    first === undefined ? [] : [violationOf([first, ...others])],
  );
  const blamed = new Set(found.map(({ reason }) => reason));
  const [warning] = conclusion.warnings;
  if (conclusion.errors !== undefined && !blamed.has("PolicyViolation")) {
    return [...found, { reason: "PolicyViolation", policy: "", note: quoted(conclusion.errors) }];
  }
  if (conclusion.errors === undefined && warning !== undefined && found.length === 0) {
    return [{ reason: "PolicyWarning", policy: "", note: quoted(warning) }];
  }
  return found;
}
