import { messageOf } from "../../core/errors.ts";
import { rejection } from "../../core/policy/condition.ts";
import { predicateUri } from "../../core/policy/predicates.ts";
import type {
  AttestationFact,
  AuthorityOutcome,
  EvaluationInput,
  EvaluationResult,
  Evaluator,
  PolicyEngine,
  RequiredAttestation,
} from "../../core/policy/types.ts";
import { excerpt } from "../../core/registry/excerpt.ts";
import type { ReadStatement } from "./candidate.ts";
import { inBatches } from "./gather.ts";
import { type Judgement, refusal, uncertainty, type Verified } from "./judge.ts";

const TYPES_SHOWN = 500; // characters

interface Attested extends Verified {
  readonly statement: ReadStatement;
}

/** How one required attestation fared: by which attestations it is satisfied, or why not. */
type Fulfilment =
  | { readonly kind: "satisfied"; readonly facts: readonly AttestationFact[] }
  | { readonly kind: "failed" | "undecided"; readonly message: string };

function attestedBy({ verified }: Judgement): readonly Attested[] {
  return verified.flatMap((one) => {
    const { statement } = one.candidate;
    return statement === undefined ? [] : [{ ...one, statement }];
  });
}

/** policy-controller's words; the types are sorted, so that the same image gets the same message. */
function noneOfType({ predicateType }: RequiredAttestation, attested: readonly Attested[]): string {
  const types = [...new Set(attested.map(({ statement }) => statement.predicateType))].sort();
  const checked = JSON.stringify(excerpt(types.join(","), TYPES_SHOWN));
  return `no matching attestations with type ${predicateType}, checked the following predicateTypes: ${checked}`;
}

/**
 * What the attestations that an authority requires come to, given what was verified so far. Every one must be satisfied by at least
 * one verified attestation of its type; the first that is not gives the message. Each statement is evaluated once.
 */
export class Requirements {
  readonly #required: readonly RequiredAttestation[];
  readonly #engine: PolicyEngine;
  readonly #signal: AbortSignal;
  readonly #evaluated = new Map<string, Promise<EvaluationResult>>();

  constructor(required: readonly RequiredAttestation[], engine: PolicyEngine, signal: AbortSignal) {
    this.#required = required;
    this.#engine = engine;
    this.#signal = signal;
  }

  /** The outcome for what was verified; `place` is the repository that was looked at. */
  async conclude(judgements: readonly Judgement[], place: string): Promise<AuthorityOutcome> {
    const attested = judgements.flatMap(attestedBy);
    if (attested.length === 0) return refusal(judgements, "attestation", place);
    const facts: [name: string, facts: readonly AttestationFact[]][] = [];
    for (const [index, required] of this.#required.entries()) {
      const fulfilment = await this.#fulfil(index, required, attested);
      if (fulfilment.kind !== "satisfied")
        return uncertainty(judgements, "attestation", [fulfilment.message]) ?? { ...fulfilment, verified: true };
      facts.push([required.name, fulfilment.facts]);
    }
    return { kind: "matched", match: { attestations: Object.fromEntries(facts) } };
  }

  async #fulfil(index: number, required: RequiredAttestation, attested: readonly Attested[]): Promise<Fulfilment> {
    const { name, predicateType, evaluator } = required;
    const wanted = attested.filter(({ statement }) => statement.predicateType === predicateUri(predicateType));
    const facts = new Map<string, AttestationFact>();
    let undecided: string | undefined;
    let rejected: string | undefined;
    const results = await inBatches(wanted, async (one) => ({
      ...one,
      result: await this.#evaluate(index, required, one.statement),
    }));
    for (const { fact, statement, result } of results) {
      if (result.kind === "compliant") facts.set(fact.id, { ...fact, predicateType, digest: statement.digest });
      else if (evaluator !== undefined && result.kind === "undecided")
        undecided ??= rejection(evaluator, name, result.message);
      else if (evaluator !== undefined) rejected ??= rejection(evaluator, name, result.message);
    }
    if (facts.size > 0) {
      return { kind: "satisfied", facts: [...facts.values()].sort((a, b) => (a.id < b.id ? -1 : 1)) };
    }
    if (undecided !== undefined) return { kind: "undecided", message: undecided };
    return { kind: "failed", message: rejected ?? noneOfType(required, attested) };
  }

  #evaluate(
    index: number,
    { predicateType, evaluator }: RequiredAttestation,
    { json, digest }: ReadStatement,
  ): Promise<EvaluationResult> {
    if (evaluator === undefined) return Promise.resolve({ kind: "compliant" });
    const key = `${index} ${digest}`;
    const evaluation = this.#evaluated.get(key) ?? this.#ask(evaluator, { kind: "statement", predicateType, json });
    this.#evaluated.set(key, evaluation);
    return evaluation;
  }

  async #ask(evaluator: Evaluator, input: EvaluationInput): Promise<EvaluationResult> {
    try {
      return await this.#engine.evaluate(evaluator, input, this.#signal);
    } catch (thrown) {
      if (!this.#signal.aborted) throw thrown;
      return { kind: "undecided", message: `there was no time left to evaluate it (${messageOf(thrown)})` };
    }
  }
}
