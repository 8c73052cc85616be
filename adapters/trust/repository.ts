import { DomainError } from "../../core/errors.ts";

/**
 * `TUF_FILE_MISSING`: the repository does not have the file (or does not give it). `TUF_UNREACHABLE`: it can't be asked.
 * `TUF_TOO_LARGE`, `TUF_INVALID`: what it has is not to be used.
 */
export type TufErrorCode = "TUF_FILE_MISSING" | "TUF_UNREACHABLE" | "TUF_TOO_LARGE" | "TUF_INVALID";

/** A failure of, or with, a TUF repository. */
export class TufError extends DomainError<TufErrorCode> {
  constructor(code: TufErrorCode, message: string, cause?: unknown) {
    super(code, message, { cause });
    this.name = "TufError";
  }
}

/** Port: where the files of a TUF repository are read. */
export interface TufRepository {
  /**
   * The file at `path`, whose segments are percent-encoded, below the repository's folder. Throws `TufError`: TUF_FILE_MISSING if
   * there is none, TUF_TOO_LARGE beyond `limit` bytes.
   */
  read(path: string, limit: number, signal: AbortSignal): Promise<Buffer>;
}
