import { DomainError } from "../errors.ts";

export type CompileErrorCode = "POLICY_UNCOMPILABLE";

/** What a policy cannot be compiled for, in words for its author. */
export function uncompilable(message: string): DomainError<CompileErrorCode> {
  return new DomainError("POLICY_UNCOMPILABLE", message);
}
