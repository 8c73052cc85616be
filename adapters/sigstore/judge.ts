import { messageOf } from "../../core/errors.ts";
import type { AuthorityOutcome, SignatureFact, SignedAuthority } from "../../core/policy/types.ts";
import type { Candidate, Evidence, EvidenceKind } from "./candidate.ts";
import { inBatches } from "./gather.ts";
import type { CandidateVerdict, VerifyCandidate } from "./verification.ts";

/** A candidate that verified. */
export interface Verified {
  readonly candidate: Candidate;
  readonly fact: SignatureFact;
}

/** What verification of some evidence gave: what counts, and why the rest does not. */
export interface Judgement {
  readonly verified: readonly Verified[];
  /** Why others do not count. */
  readonly reasons: readonly string[];
  /** What could not be verified, so that it may have counted. */
  readonly doubts: readonly string[];
  /** What could not be read, so that there may be more. */
  readonly gaps: readonly string[];
}

const REASONS = 3;

async function verdictOn(
  candidate: Candidate,
  authority: SignedAuthority,
  verify: VerifyCandidate,
  signal: AbortSignal,
): Promise<CandidateVerdict> {
  try {
    signal.throwIfAborted();
    return await verify(candidate, authority, signal);
  } catch (thrown) {
    if (!signal.aborted) throw thrown;
    return { kind: "undecided", reason: `there was no time left to verify it (${messageOf(thrown)})` };
  }
}

/** Verifies every candidate once. Sorted, and none twice: the same content gives the same record. */
export async function judge(
  { candidates, refusals, gaps }: Evidence,
  authority: SignedAuthority,
  verify: VerifyCandidate,
  signal: AbortSignal,
): Promise<Judgement> {
  const verified = new Map<string, Verified>();
  const reasons = new Set<string>(refusals);
  const doubts = new Set<string>();
  await inBatches(candidates, async (candidate) => {
    const verdict = await verdictOn(candidate, authority, verify, signal);
    if (verdict.kind === "verified") verified.set(candidate.id, { candidate, fact: verdict.fact });
    else (verdict.kind === "refused" ? reasons : doubts).add(`${candidate.where}: ${verdict.reason}`);
  });
  const sorted = [...verified.values()].sort((a, b) => (a.fact.id < b.fact.id ? -1 : 1));
  return { verified: sorted, reasons: [...reasons].sort(), doubts: [...doubts].sort(), gaps };
}

/** The first few of some reasons, and how many more there are. */
function list(reasons: readonly string[]): string {
  const more = reasons.length - REASONS;
  return `${reasons.slice(0, REASONS).join("; ")}${more > 0 ? `; and ${more} more` : ""}`;
}

/** An outcome that is not certain, because something could not be read or verified; undefined if there is no such thing. */
export function uncertainty(
  judgements: readonly Judgement[],
  what: EvidenceKind,
  reasons: readonly string[],
): AuthorityOutcome | undefined {
  const gaps = new Set(judgements.flatMap((one) => one.gaps));
  const doubts = new Set(judgements.flatMap((one) => one.doubts));
  if (gaps.size + doubts.size === 0) return undefined;
  const failed = gaps.size > 0 ? "read" : "verify";
  return { kind: "undecided", message: `could not ${failed} all ${what}s: ${list([...gaps, ...doubts, ...reasons])}` };
}

/** The outcome when nothing counted. `place` is the repository that was looked at. The first words are those of cosign, which scripts look for. */
export function refusal(judgements: readonly Judgement[], what: EvidenceKind, place: string): AuthorityOutcome {
  const reasons = judgements.flatMap((one) => one.reasons);
  const uncertain = uncertainty(judgements, what, reasons);
  if (uncertain !== undefined) return uncertain;
  if (reasons.length > 0) return { kind: "failed", message: `no matching ${what}s: ${list(reasons)}` };
  const none = what === "signature" ? "no signatures found in" : "no matching attestations: there are none in";
  return { kind: "failed", message: `${none} ${place}` };
}
