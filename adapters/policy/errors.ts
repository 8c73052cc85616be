import { DomainError } from "../../core/errors.ts";

/** Why the policy engine gave no verdict, as callers switch on it. */
export type PolicyEngineErrorCode =
  /** Its program is missing, broken, or does not start. */
  | "ENGINE_UNAVAILABLE"
  /** The policy and its input took more time or memory than one evaluation may, or crashed the engine. */
  | "ENGINE_EXHAUSTED"
  /** Policy or input are larger than the engine takes. */
  | "ENGINE_LIMIT"
  /** Too many evaluations wait. */
  | "ENGINE_BUSY"
  /** The caller's signal aborted first. */
  | "ENGINE_ABORTED"
  | "ENGINE_CLOSED";

/** No verdict on a policy. */
export class PolicyEngineError extends DomainError<PolicyEngineErrorCode> {
  constructor(code: PolicyEngineErrorCode, message: string, cause?: unknown) {
    super(code, message, { cause });
    this.name = "PolicyEngineError";
  }
}
