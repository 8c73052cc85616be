import { DomainError } from "../../core/errors.ts";

/** Why a request cannot be served, before anybody looked at what it asks. */
export type HttpErrorCode =
  | "BODY_TOO_LARGE"
  | "BODY_TIMEOUT"
  | "BODY_ABORTED"
  | "METHOD_NOT_ALLOWED"
  | "UNSUPPORTED_MEDIA_TYPE"
  | "BAD_REQUEST";

const STATUS: Readonly<Record<HttpErrorCode, number>> = {
  BODY_TOO_LARGE: 413,
  BODY_TIMEOUT: 408,
  BODY_ABORTED: 400,
  METHOD_NOT_ALLOWED: 405,
  UNSUPPORTED_MEDIA_TYPE: 415,
  BAD_REQUEST: 400,
};

/** A request refused with an HTTP status; the message goes to the client. */
export class HttpError extends DomainError<HttpErrorCode> {
  readonly status: number;

  constructor(code: HttpErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(code, message, { ...options, terminal: true });
    this.name = "HttpError";
    this.status = STATUS[code];
  }
}
