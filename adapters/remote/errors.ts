import { DomainError } from "../../core/errors.ts";

/** Why a document was not had from a URL. */
export type RemoteErrorCode =
  | "REMOTE_URL_INVALID"
  | "REMOTE_UNREACHABLE"
  | "REMOTE_TIMEOUT"
  | "REMOTE_REFUSED"
  | "REMOTE_FAILED"
  | "REMOTE_TOO_LARGE"
  | "REMOTE_NOT_TEXT"
  | "REMOTE_MISMATCH";

/** A document that could not be had. The message names the host and what to do; never a query, a user or a body. */
export class RemoteError extends DomainError<RemoteErrorCode> {
  constructor(code: RemoteErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(code, message, { ...options, terminal: code === "REMOTE_URL_INVALID" });
    this.name = "RemoteError";
  }
}

/** Whether the next attempt may go better within seconds. */
export function isPassing(thrown: unknown): boolean {
  return (
    thrown instanceof RemoteError && ["REMOTE_UNREACHABLE", "REMOTE_TIMEOUT", "REMOTE_FAILED"].includes(thrown.code)
  );
}
