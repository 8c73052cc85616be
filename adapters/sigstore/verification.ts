import { messageOf } from "../../core/errors.ts";
import type { KeyAuthority, KeylessAuthority, SignatureFact, SignedAuthority } from "../../core/policy/types.ts";
import type { Clock } from "../clock.ts";
import type { Candidate, Material } from "./candidate.ts";
import { contentOf, type SignedContent } from "./content.ts";
import { type Issuers, readIssuers } from "./issuers.ts";
import { verifyKeyless } from "./keyless.ts";
import { type VerificationKey, verificationKey } from "./keys.ts";
import { type ObservationOptions, observedTimes } from "./observation.ts";
import { Refusal } from "./refusal.ts";
import type { LogLookup } from "./rekor.ts";
import { trustedRootReader } from "./trustmaterial.ts";

/**
 * What one authority says of one candidate. `refused`: it does not count, and never will for this authority as it is. `undecided`: it
 * could not be judged (a log that did not answer, trust material that cannot be read). Only `verified` counts.
 */
export type CandidateVerdict =
  | { readonly kind: "verified"; readonly fact: SignatureFact }
  | { readonly kind: "refused"; readonly reason: string }
  | { readonly kind: "undecided"; readonly reason: string };

export interface VerificationOptions {
  readonly clock: Pick<Clock, "now">;
  /** How logs are asked for what a signature does not bring; absent: they are not. */
  readonly rekor?: LogLookup;
}

/** Decides whether `candidate` counts for `authority`. Never rejects. */
export type VerifyCandidate = (
  candidate: Candidate,
  authority: SignedAuthority,
  signal: AbortSignal,
) => Promise<CandidateVerdict>;

/** As `VerifyCandidate`, of content that is known in another way. `objection` is the candidate's. */
export type VerifyContent = (
  content: SignedContent,
  about: Pick<Candidate, "id" | "material" | "objection">,
  authority: SignedAuthority,
  signal: AbortSignal,
) => Promise<CandidateVerdict>;

/** What is read of an authority once, however many signatures it judges. */
type Prepared =
  | { readonly kind: "key"; readonly authority: KeyAuthority; readonly keys: readonly VerificationKey[] }
  | { readonly kind: "keyless"; readonly authority: KeylessAuthority; readonly issuers: Issuers };

function prepare(authority: SignedAuthority, trust: ObservationOptions["trust"]): Prepared {
  if (authority.kind === "keyless")
    return { kind: "keyless", authority, issuers: readIssuers(authority.issuers, trust) };
  const keys = authority.keys.map((pem) => verificationKey(pem, authority.hashAlgorithm));
  return { kind: "key", authority, keys };
}

async function verifyKeyed(
  content: SignedContent,
  material: Material,
  { authority, keys }: Prepared & { kind: "key" },
  options: ObservationOptions,
): Promise<Omit<SignatureFact, "id">> {
  const key = keys.find((candidate) => content.isSignedBy(candidate));
  if (key === undefined) throw new Refusal("not signed by this authority's key");
  if (authority.log.kind === "required" || authority.timestamps !== undefined) {
    await observedTimes({ content, material, key, signer: { kind: "key", key: key.key } }, authority, options);
  }
  return {};
}

class CandidateVerifier {
  readonly #options: VerificationOptions;
  readonly #trust = trustedRootReader();
  readonly #prepared = new WeakMap<SignedAuthority, Prepared>();

  constructor(options: VerificationOptions) {
    this.#options = options;
  }

  async verify(
    content: SignedContent,
    { id, material, objection }: Pick<Candidate, "id" | "material" | "objection">,
    authority: SignedAuthority,
    signal: AbortSignal,
  ): Promise<CandidateVerdict> {
    const { clock, rekor } = this.#options;
    const options = { now: clock.now(), trust: this.#trust, signal, ...(rekor !== undefined && { rekor }) };
    try {
      const prepared = this.#prepare(authority);
      const fact =
        prepared.kind === "key"
          ? await verifyKeyed(content, material, prepared, options)
          : await verifyKeyless(content, material, prepared.authority, prepared.issuers, options);
      // Only now: the words of an unsigned claim are never shown as those of a signer.
      return objection === undefined
        ? { kind: "verified", fact: { id, ...fact } }
        : { kind: "refused", reason: objection };
    } catch (thrown) {
      if (thrown instanceof Refusal) return { kind: "refused", reason: thrown.message };
      return { kind: "undecided", reason: messageOf(thrown) };
    }
  }

  #prepare(authority: SignedAuthority): Prepared {
    const known = this.#prepared.get(authority);
    if (known !== undefined) return known;
    try {
      const prepared = prepare(authority, this.#trust);
      this.#prepared.set(authority, prepared);
      return prepared;
    } catch (thrown) {
      throw new Error(`the authority cannot be used: ${messageOf(thrown)}`, { cause: thrown });
    }
  }
}

/**
 * A verifier of content whose bytes may not be at hand (a digest was given); see `createCandidateVerifier`, which is for everything else.
 */
export function createContentVerifier(options: VerificationOptions): VerifyContent {
  const verifier = new CandidateVerifier(options);
  return (content, about, authority, signal) => verifier.verify(content, about, authority, signal);
}

/**
 * A verifier of candidates. A candidate counts for an authority when its signature verifies, by one of the authority's keys or by a
 * certificate of one of its issuers and identities; when a log and a timestamp authority saw it, as far as `authority.log` and
 * `authority.timestamps` ask for that; and when nothing speaks against what it says (`objection`). Reads no registry; asks a log only
 * where `authority.log.url` is there and the signature brings no entry. `refused` where cosign has words for the reason uses them.
 */
export function createCandidateVerifier(options: VerificationOptions): VerifyCandidate {
  const verify = createContentVerifier(options);
  return (candidate, authority, signal) => verify(contentOf(candidate), candidate, authority, signal);
}
