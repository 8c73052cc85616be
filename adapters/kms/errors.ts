import { DomainError } from "../../core/errors.ts";

/** Why a key management service gave no public key. */
export type KmsErrorCode =
  | "KMS_URI_INVALID"
  | "KMS_NOT_CONFIGURED"
  | "KMS_KEY_NOT_FOUND"
  | "KMS_FORBIDDEN"
  | "KMS_UNAUTHENTICATED"
  | "KMS_KEY_UNUSABLE"
  | "KMS_UNREACHABLE"
  | "KMS_TIMEOUT"
  | "KMS_FAILED";

/** A public key that could not be had. The message is for the user: who answered what, and what to do; no secret, no foreign body. */
export class KmsError extends DomainError<KmsErrorCode> {
  constructor(code: KmsErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(code, message, { ...options, terminal: code === "KMS_URI_INVALID" || code === "KMS_NOT_CONFIGURED" });
    this.name = "KmsError";
  }
}

const NETWORK =
  /^(?:ECONN|ENOTFOUND|EAI_|EHOST|ENET|EPIPE|ETIMEDOUT|CERT_|ERR_TLS|ERR_SSL|UNABLE_|SELF_SIGNED|DEPTH_ZERO|HPE_|UND_ERR)/;

/** The code of the innermost failure of the network or of TLS (`ECONNREFUSED`), if that is what went wrong. */
export function networkCodeOf(thrown: unknown): string | undefined {
  for (let at = thrown, depth = 0; at instanceof Error && depth < 6; at = at.cause, depth++) {
    const codes = [at, ...(at instanceof AggregateError ? (at.errors as unknown[]) : [])].map(
      (each) => (each as { code?: unknown } | undefined)?.code,
    );
    const code = codes.find((each): each is string => typeof each === "string" && NETWORK.test(each));
    if (code !== undefined) return code;
  }
  return undefined;
}

/** What a vendor's SDK calls its failure, if that is a plain word: safe in a message. */
export function wordOf(value: unknown): string {
  return typeof value === "string" && /^[A-Za-z][\w.]{0,79}$/.test(value) ? value : "unknown error";
}
