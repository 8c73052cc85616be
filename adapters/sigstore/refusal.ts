import { DomainError, messageOf } from "../../core/errors.ts";

/** Thrown inside the verification of one candidate when it does not count; `createCandidateVerifier` turns it into a verdict. */
export class Refusal extends DomainError<"SIGNATURE_REFUSED"> {
  constructor(reason: string, options: { cause?: unknown } = {}) {
    super("SIGNATURE_REFUSED", reason, { ...options, terminal: true });
    this.name = "Refusal";
  }
}

/** Reads foreign bytes: whatever `read` throws (they are an attacker's choice) is a `Refusal` that says what could not be read. */
export function reading<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (thrown) {
    if (thrown instanceof Refusal) throw thrown;
    throw new Refusal(`${what} cannot be read: ${messageOf(thrown)}`, { cause: thrown });
  }
}

/** The first of `attempts` that succeeds; throws the last refusal when none does, or one with `otherwise` when there are none. */
export function firstAccepted<T, R>(attempts: readonly T[], accept: (attempt: T) => R, otherwise: string): R {
  let refusal = new Refusal(otherwise);
  for (const attempt of attempts) {
    try {
      return accept(attempt);
    } catch (thrown) {
      if (!(thrown instanceof Refusal)) throw thrown;
      refusal = thrown;
    }
  }
  throw refusal;
}

/** Everything that is accepted. With nothing accepted, the last refusal, or one with `otherwise` where there were no attempts. */
export function allAccepted<T, R>(attempts: readonly T[], accept: (attempt: T) => R, otherwise: string): R[] | Refusal {
  const found: R[] = [];
  let refusal = new Refusal(otherwise);
  for (const attempt of attempts) {
    try {
      found.push(accept(attempt));
    } catch (thrown) {
      if (!(thrown instanceof Refusal)) throw thrown;
      refusal = thrown;
    }
  }
  return found.length > 0 ? found : refusal;
}
