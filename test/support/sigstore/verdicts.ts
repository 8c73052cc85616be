import { expect } from "chai";
import type { Candidate } from "../../../adapters/sigstore/candidate.ts";
import type { LogLookup } from "../../../adapters/sigstore/rekor.ts";
import { type CandidateVerdict, createCandidateVerifier } from "../../../adapters/sigstore/verification.ts";
import type { SignedAuthority } from "../../../core/policy/types.ts";
import { LATER } from "./forged-scene.ts";

export interface Judging {
  /** The verifier's clock; absent: years after everything was signed. */
  readonly now?: Date;
  readonly rekor?: LogLookup;
}

/** What the verifier says of a candidate. */
export function judge(
  candidate: Candidate,
  authority: SignedAuthority,
  { now = LATER, rekor }: Judging = {},
): Promise<CandidateVerdict> {
  const verify = createCandidateVerifier({ clock: { now: () => now }, ...(rekor !== undefined && { rekor }) });
  return verify(candidate, authority, AbortSignal.timeout(30_000));
}

export async function expectVerified(candidate: Candidate, authority: SignedAuthority, how?: Judging): Promise<void> {
  const verdict = await judge(candidate, authority, how);
  expect(verdict.kind, JSON.stringify(verdict)).to.equal("verified");
}

/** `reason`: a part of what is said. */
export async function expectRefused(
  reason: string,
  candidate: Candidate,
  authority: SignedAuthority,
  how?: Judging,
): Promise<void> {
  const verdict = await judge(candidate, authority, how);
  expect(verdict).to.have.property("kind", "refused");
  expect(verdict).to.have.property("reason").that.contains(reason);
}

export async function expectUndecided(
  reason: string,
  candidate: Candidate,
  authority: SignedAuthority,
  how?: Judging,
): Promise<void> {
  const verdict = await judge(candidate, authority, how);
  expect(verdict).to.have.property("kind", "undecided");
  expect(verdict).to.have.property("reason").that.contains(reason);
}
