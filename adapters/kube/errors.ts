import { DomainError } from "../../core/errors.ts";
import { isFields } from "../../core/json.ts";

/** Why a call to the Kubernetes API failed, as callers switch on it. */
export type KubeErrorCode =
  | "NOT_FOUND"
  | "CONFLICT"
  | "ALREADY_EXISTS"
  | "FORBIDDEN"
  | "UNAUTHORIZED"
  | "INVALID"
  | "GONE"
  | "THROTTLED"
  | "UNAVAILABLE"
  | "TIMEOUT"
  | "TOO_LARGE"
  | "MALFORMED";

/** A failed call to the Kubernetes API. The message names the call and the server's reason, shortened; never a header or a body. */
export class KubeError extends DomainError<KubeErrorCode> {
  constructor(code: KubeErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(code, message, { ...options, terminal: code === "INVALID" });
    this.name = "KubeError";
  }
}

/** True when `thrown` is a `KubeError` with one of `codes`. */
export function isKubeError(thrown: unknown, ...codes: readonly KubeErrorCode[]): thrown is KubeError {
  return thrown instanceof KubeError && codes.includes(thrown.code);
}

const MESSAGE_LIMIT = 600; // characters: enough for a validation error, small enough for a condition

const BY_STATUS: Readonly<Record<number, KubeErrorCode>> = {
  401: "UNAUTHORIZED",
  403: "FORBIDDEN",
  404: "NOT_FOUND",
  408: "TIMEOUT",
  409: "CONFLICT",
  410: "GONE",
  413: "TOO_LARGE",
  429: "THROTTLED",
  504: "TIMEOUT",
};

function codeOf(httpStatus: number, reason: unknown): KubeErrorCode {
  if (reason === "AlreadyExists") return "ALREADY_EXISTS";
  if (reason === "Expired" || reason === "Gone") return "GONE";
  const known = BY_STATUS[httpStatus];
  if (known !== undefined) return known;
  if (httpStatus >= 500) return "UNAVAILABLE";
  return httpStatus >= 400 ? "INVALID" : "MALFORMED";
}

function shorten(text: string): string {
  const clean = text.replace(/\p{Cc}+/gu, " ").trim();
  return clean.length <= MESSAGE_LIMIT ? clean : `${clean.slice(0, MESSAGE_LIMIT)}…`;
}

/**
 * The error for an answer that is not a success: code from the HTTP status and `Status.reason`, text from `Status.message`
 * (k8s.io/apimachinery, meta/v1 Status), shortened and stripped of control characters. A body that is no Status is not quoted.
 */
export function errorFromStatus(call: string, httpStatus: number, body: unknown): KubeError {
  const status = isFields(body) && body["kind"] === "Status" ? body : {};
  const code = codeOf(httpStatus, status["reason"]);
  const text = typeof status["message"] === "string" ? shorten(status["message"]) : `HTTP status ${httpStatus}`;
  return new KubeError(code, `${call}: ${text}`);
}
