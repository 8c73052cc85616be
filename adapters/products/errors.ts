import { DomainError } from "../../core/errors.ts";
import type { Reason } from "../../crds/index.ts";

/** Why a registry product's management API did not do what it was asked. */
export type ProductErrorCode =
  /** Too many requests: ask again after `retryAfterMs`. */
  | "PRODUCT_THROTTLED"
  /** No answer, no connection, a 5xx: ask again, with back-off. */
  | "PRODUCT_UNAVAILABLE"
  | "PRODUCT_TIMEOUT"
  /** Another operation on the same thing is under way: ask again soon. */
  | "PRODUCT_BUSY"
  /** Signing in failed: wrong, expired or missing credentials of ours. */
  | "PRODUCT_UNAUTHENTICATED"
  /** Signed in, but not allowed. */
  | "PRODUCT_FORBIDDEN"
  /** The registry itself (account, project, resource group) is not there. */
  | "PRODUCT_REGISTRY_NOT_FOUND"
  /** The product says no to what is declared; asking again without a change is useless. `reason` says why. */
  | "PRODUCT_REFUSED"
  /** An answer outside the product's contract. */
  | "PRODUCT_MALFORMED";

export interface ProductErrorOptions {
  readonly cause?: unknown;
  /** For a condition; by default what the code implies. */
  readonly reason?: Reason;
  /** What the product asked for; 15 minutes at most count. */
  readonly retryAfterMs?: number;
}

/** Whatever a foreign `Retry-After` says: what was declared is compared again after 15 minutes. */
const LONGEST_RETRY_AFTER_MS = 15 * 60_000;

const REASONS: Readonly<Record<ProductErrorCode, Reason>> = {
  PRODUCT_THROTTLED: "Throttled",
  PRODUCT_UNAVAILABLE: "RemoteError",
  PRODUCT_TIMEOUT: "RemoteError",
  PRODUCT_BUSY: "Updating",
  PRODUCT_UNAUTHENTICATED: "SignInFailed",
  PRODUCT_FORBIDDEN: "SignInFailed",
  PRODUCT_REGISTRY_NOT_FOUND: "RegistryNotFound",
  PRODUCT_REFUSED: "RemoteError",
  PRODUCT_MALFORMED: "RemoteError",
};

/**
 * A failure of a registry product's management API. The message goes into conditions: it names the product, what was asked, the
 * vendor's error code and the next step; never a credential, a token, or a foreign body as it came.
 */
export class ProductError extends DomainError<ProductErrorCode> {
  readonly reason: Reason;
  readonly retryAfterMs: number | undefined;

  constructor(code: ProductErrorCode, message: string, options: ProductErrorOptions = {}) {
    super(code, message, { cause: options.cause, terminal: code === "PRODUCT_REFUSED" });
    this.name = "ProductError";
    this.reason = options.reason ?? REASONS[code];
    const { retryAfterMs } = options;
    this.retryAfterMs = retryAfterMs === undefined ? undefined : Math.min(retryAfterMs, LONGEST_RETRY_AFTER_MS);
  }
}
