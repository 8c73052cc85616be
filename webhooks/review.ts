import type { Operation } from "fast-json-patch";

/** An AdmissionReview response (admission.k8s.io/v1). Built only by the three functions below: there is no default answer. */
export interface ReviewResponse {
  readonly uid: string;
  readonly allowed: boolean;
  readonly status?: { readonly code: number; readonly reason: string; readonly message: string };
  readonly warnings?: readonly string[];
  readonly patchType?: "JSONPatch";
  readonly patch?: string;
}

/** The API server cuts warnings that are longer (apiserver `maxLengthOfWarning…`: 256 each, 4096 in all); ours are split by line. */
const WARNINGS_LIMIT = 64;

function warningLines(warnings: readonly string[]): { warnings?: readonly string[] } {
  const lines = warnings.flatMap((warning) => warning.split("\n")).filter((line) => line !== "");
  return lines.length > 0 ? { warnings: lines.slice(0, WARNINGS_LIMIT) } : {};
}

/** Lets the object in, with warnings and changes if there are any. */
export function allowed(uid: string, warnings: readonly string[], patch: readonly Operation[]): ReviewResponse {
  const change =
    patch.length === 0
      ? {}
      : { patchType: "JSONPatch" as const, patch: Buffer.from(JSON.stringify(patch)).toString("base64") };
  return { uid, allowed: true, ...warningLines(warnings), ...change };
}

/** Refuses the object; `message` is what `kubectl apply` prints. */
export function denied(uid: string, message: string, warnings: readonly string[]): ReviewResponse {
  return { uid, allowed: false, status: { code: 400, reason: "BadRequest", message }, ...warningLines(warnings) };
}

/** Refuses because nothing could be decided. */
export function errored(uid: string, message: string): ReviewResponse {
  return { uid, allowed: false, status: { code: 500, reason: "InternalError", message } };
}
