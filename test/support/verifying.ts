import { systemClock } from "../../adapters/clock.ts";
import type { RegistryClient } from "../../adapters/registry/client.ts";
import { createCandidateVerifier } from "../../adapters/sigstore/verification.ts";
import { createVerifier } from "../../adapters/sigstore/verifier.ts";
import type {
  AttestationFact,
  AuthorityOutcome,
  EvaluationInput,
  EvaluationResult,
  Evaluator,
  KeyAuthority,
  PolicyEngine,
  SignatureFact,
  VerifyAuthority,
} from "../../core/policy/types.ts";

/** An engine whose "policies" are words: what it was shown, and what `answer` makes of it. */
export interface ScriptedEngine extends PolicyEngine {
  readonly shown: readonly { readonly evaluator: Evaluator; readonly input: EvaluationInput }[];
}

/** NOT a policy engine: answers as a test wants. For what policies mean, tests use the real one. */
export function scriptedEngine(
  answer: (source: string, json: string) => EvaluationResult = () => ({ kind: "compliant" }),
): ScriptedEngine {
  const shown: { evaluator: Evaluator; input: EvaluationInput }[] = [];
  return {
    shown,
    evaluate: (evaluator, input) => {
      shown.push({ evaluator, input });
      return Promise.resolve(answer(evaluator.source, input.json));
    },
    check: () => Promise.resolve(undefined),
  };
}

/** A verifier as the webhooks use it, with the real cryptography. */
export function verifierOf(registry: RegistryClient, engine: PolicyEngine = scriptedEngine()): VerifyAuthority {
  return createVerifier({ registry, engine, verifyCandidate: createCandidateVerifier({ clock: systemClock }) });
}

/** A `key` authority without a transparency log. */
export function keyAuthority(keys: readonly string[], more: Partial<KeyAuthority> = {}): KeyAuthority {
  return {
    kind: "key",
    name: "authority-0",
    index: 0,
    keys,
    hashAlgorithm: "sha256",
    source: { pullSecrets: [] },
    log: { kind: "ignored" },
    bundlesOnly: false,
    attestations: [],
    ...more,
  };
}

/** The signatures of a match; none for any other outcome. */
export function signaturesOf(outcome: AuthorityOutcome): readonly SignatureFact[] {
  return (outcome.kind === "matched" ? outcome.match.signatures : undefined) ?? [];
}

/** The attestations of a match by the name that the policy gives them; none for any other outcome. */
export function attestationsOf(outcome: AuthorityOutcome): Readonly<Record<string, readonly AttestationFact[]>> {
  return (outcome.kind === "matched" ? outcome.match.attestations : undefined) ?? {};
}

/** The message of an outcome that is no match. */
export function messageIn(outcome: AuthorityOutcome): string {
  return outcome.kind === "matched" ? "it matched" : outcome.message;
}
