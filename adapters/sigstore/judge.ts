import type { AuthorityOutcome, SignatureFact } from "../../core/policy/types.ts";
import type { Evidence } from "./candidate.ts";
import { isSignedBy, type VerificationKey } from "./keys.ts";

/** What verification of some evidence gave: the signatures that count, and why the others do not. */
export interface Judgement {
  readonly facts: readonly SignatureFact[];
  readonly reasons: readonly string[];
  readonly gaps: readonly string[];
}

const REASONS = 3;

/** The usual reason is another key; the other one that there is should be said to whom it may concern. */
function notSigned(keys: readonly VerificationKey[]): string {
  const edwards = keys.some(({ key }) => key.asymmetricKeyType === "ed25519");
  const hint = " (cosign 3 signs with Ed25519ph, which is not supported; use an ECDSA P-256 key)";
  return `not signed by this authority's key${edwards ? hint : ""}`;
}

/**
 * Verifies every candidate. One counts if a key verifies its signature and it has nothing against it; the signature is looked at
 * first, so that the words of an unsigned claim are never shown as those of a signer. Sorted: the same content gives the same record.
 */
export function judge({ candidates, gaps }: Evidence, keys: readonly VerificationKey[]): Judgement {
  const facts = new Map<string, SignatureFact>();
  const reasons = new Set<string>();
  for (const { id, where, signedBytes, signature, objection } of candidates) {
    if (!keys.some((key) => isSignedBy(key, signedBytes, signature))) reasons.add(`${where}: ${notSigned(keys)}`);
    else if (objection !== undefined) reasons.add(`${where}: ${objection}`);
    else facts.set(id, { id });
  }
  return { facts: [...facts.values()].sort((a, b) => (a.id < b.id ? -1 : 1)), reasons: [...reasons], gaps };
}

function list(reasons: readonly string[]): string {
  const more = reasons.length - REASONS;
  return `${reasons.slice(0, REASONS).join("; ")}${more > 0 ? `; and ${more} more` : ""}`;
}

/** The outcome when nothing counted. `place` is the repository that was looked at. The first words are those of cosign, which scripts look for. */
export function refusal(judgements: readonly Judgement[], place: string): AuthorityOutcome {
  const gaps = judgements.flatMap((one) => one.gaps);
  const reasons = judgements.flatMap((one) => one.reasons);
  if (gaps.length > 0)
    return { kind: "undecided", message: `could not read all signatures: ${list([...new Set(gaps), ...reasons])}` };
  if (reasons.length > 0) return { kind: "failed", message: `no matching signatures: ${list(reasons)}` };
  return { kind: "failed", message: `no signatures found in ${place}` };
}
