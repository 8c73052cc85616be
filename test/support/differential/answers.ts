import { fieldsOf } from "../../../core/json.ts";
import type { Outcome } from "./model.ts";
import type { Answer } from "./side.ts";

/** Every image that an object names, in the order of its fields. */
export function imagesIn(value: unknown): readonly string[] {
  if (Array.isArray(value)) return value.flatMap(imagesIn);
  const fields = fieldsOf(value);
  if (fields === undefined) return [];
  return Object.entries(fields).flatMap(([name, content]) =>
    name === "managedFields" || name === "annotations"
      ? []
      : name === "image" && typeof content === "string"
        ? [content]
        : imagesIn(content),
  );
}

/** Whether an answer is of that kind. Gives what is wrong with it, or undefined. */
export function mismatch(answer: Answer, wanted: Outcome): string | undefined {
  const got = describe(answer);
  if (wanted === "admitted")
    return answer.admitted && answer.warnings.length === 0 ? undefined : `wanted it admitted in silence; got ${got}`;
  if ("refused" in wanted)
    return !answer.admitted && answer.message.includes(wanted.refused)
      ? undefined
      : `wanted a refusal with ${JSON.stringify(wanted.refused)}; got ${got}`;
  return answer.admitted && answer.warnings.join("\n").includes(wanted.warned)
    ? undefined
    : `wanted a warning with ${JSON.stringify(wanted.warned)}; got ${got}`;
}

/** After these words, which people search for, policy-controller quotes a library and we name place and reason: no two versions of it agree. */
const DETAIL =
  /(no signatures found|no matching signatures|no matching attestations(?: for authority \S+ for \S+)?)(?:(?::| in )[^\n]*?)?(?= (?:signature|attestation) (?:key|keyless) validation failed|\n|$)/g;

/** It asks authorities at the same time, and lists them as they answer. */
const BETWEEN_AUTHORITIES = / (?=(?:signature|attestation) (?:key|keyless) validation failed for authority )/;

function stable(message: string): string {
  const lines = message.replace(DETAIL, "$1…").split("\n");
  return lines.map((line) => line.split(BETWEEN_AUTHORITIES).sort().join(" ")).join("\n");
}

/** What of an answer is compared: all but details after stable words. */
export function comparable(answer: Answer): string {
  return describe({ ...answer, message: stable(answer.message), warnings: answer.warnings.map(stable) });
}

/** An answer in full, for people. */
export function describe({ admitted, status, message, warnings, images }: Answer): string {
  return JSON.stringify(
    { admitted, ...(!admitted && { status, message }), warnings, ...(admitted && { images }) },
    undefined,
    1,
  );
}
