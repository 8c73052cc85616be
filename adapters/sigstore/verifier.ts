import { LRUCache } from "lru-cache";
import { messageOf } from "../../core/errors.ts";
import { parseReference } from "../../core/image/reference.ts";
import type {
  AuthorityOutcome,
  Keychain,
  PinnedImage,
  PolicyEngine,
  SignedAuthority,
  VerifyAuthority,
} from "../../core/policy/types.ts";
import type { RegistryClient } from "../registry/client.ts";
import { Requirements } from "./attestations.ts";
import type { Evidence, EvidenceKind } from "./candidate.ts";
import { nameOf, type Place } from "./gather.ts";
import { type Judgement, judge, refusal } from "./judge.ts";
import { type Form, Lookup } from "./lookup.ts";
import type { VerifyCandidate } from "./verification.ts";

export interface VerifierOptions {
  readonly registry: RegistryClient;
  /** Cryptography alone: decides about one candidate. */
  readonly verifyCandidate: VerifyCandidate;
  /** Judges the statements of attestations. */
  readonly engine: PolicyEngine;
  /** For how long what was found is used again without asking the registry; 5 s if absent. */
  readonly keepMs?: number;
}

const KEEP_MS = 5_000;
const REPOSITORIES_REMEMBERED = 4_096;
const FORMS: readonly Form[] = ["classic", "referrer"];

/** Where an authority's evidence lies: in the image's own repository, or in the one that the authority names. */
function placeOf(image: PinnedImage, authority: SignedAuthority, keychain: Keychain): Place {
  const { repository: elsewhere, tagPrefix } = authority.source;
  const { registry, repository } = elsewhere === undefined ? image.reference : parseReference(elsewhere);
  return {
    source: { registry, repository, keychain },
    digest: image.digest,
    ...(tagPrefix !== undefined && { tagPrefix }),
  };
}

/** One authority's question about one image. */
interface Question {
  readonly kind: EvidenceKind;
  readonly place: Place;
  readonly authority: SignedAuthority;
  readonly signal: AbortSignal;
  readonly conclude: (judgements: readonly Judgement[]) => AuthorityOutcome | Promise<AuthorityOutcome>;
}

class Verifier {
  readonly #lookup: Lookup;
  readonly #verifyCandidate: VerifyCandidate;
  readonly #engine: PolicyEngine;
  // In which form the last match of a repository was found: asked for first, which spares the other's requests.
  readonly #lastForm = new LRUCache<string, Form>({ max: REPOSITORIES_REMEMBERED });
  // The only form of all matches in a registry, for repositories not seen yet.
  readonly #onlyForm = new LRUCache<string, Form | "several">({ max: REPOSITORIES_REMEMBERED });

  constructor({ registry, verifyCandidate, engine, keepMs = KEEP_MS }: VerifierOptions) {
    this.#lookup = new Lookup(registry, keepMs);
    this.#verifyCandidate = verifyCandidate;
    this.#engine = engine;
  }

  verify(
    image: PinnedImage,
    authority: SignedAuthority,
    keychain: Keychain,
    signal: AbortSignal,
  ): Promise<AuthorityOutcome> {
    let place: Place;
    try {
      place = placeOf(image, authority, keychain);
    } catch (thrown) {
      return Promise.resolve({ kind: "undecided", message: `the authority cannot be used: ${messageOf(thrown)}` });
    }
    if (authority.attestations.length === 0) {
      const conclude = (judgements: readonly Judgement[]): AuthorityOutcome => signed(judgements, nameOf(place));
      return this.#answer({ kind: "signature", place, authority, signal, conclude });
    }
    const requirements = new Requirements(authority.attestations, this.#engine, signal);
    const conclude = (judgements: readonly Judgement[]): Promise<AuthorityOutcome> =>
      requirements.conclude(judgements, nameOf(place));
    return this.#answer({ kind: "attestation", place, authority, signal, conclude });
  }

  async #answer(question: Question): Promise<AuthorityOutcome> {
    const judgements = new Map<Form, Judgement>();
    let outcome: AuthorityOutcome = { kind: "undecided", message: "nothing was looked at" };
    for (const form of this.#order(question)) {
      const result = await this.#look(form, question, judgements);
      outcome = result.outcome;
      if (outcome.kind === "matched") this.#learn(question, form);
      if (outcome.kind === "matched" || result.silent) break;
    }
    return outcome;
  }

  /** What is remembered may save the requests of a match, but never causes a refusal: then the registry is asked again. */
  async #look(
    form: Form,
    question: Question,
    judgements: Map<Form, Judgement>,
  ): Promise<{ readonly outcome: AuthorityOutcome; readonly silent: boolean }> {
    const { kind, place, signal, conclude } = question;
    for (let afresh = false; ; afresh = true) {
      const { evidence, remembered, silent } = await this.#lookup.find(kind, form, place, signal, afresh);
      judgements.set(form, await this.#judge(evidence, question));
      // In one order, whichever came first, so that the same image gets the same message.
      const outcome = await conclude(FORMS.flatMap((one) => judgements.get(one) ?? []));
      if (outcome.kind === "matched" || !remembered || afresh) return { outcome, silent };
    }
  }

  #judge(evidence: Evidence, { authority, signal }: Question): Promise<Judgement> {
    const allowed = evidence.candidates.filter(({ bundle }) => bundle === true || !authority.bundlesOnly);
    return judge({ ...evidence, candidates: allowed }, authority, this.#verifyCandidate, signal);
  }

  #order({ kind, place, authority }: Question): readonly Form[] {
    if (authority.bundlesOnly) return ["referrer"];
    const known =
      this.#lastForm.get(`${kind} ${nameOf(place)}`) ?? this.#onlyForm.get(`${kind} ${place.source.registry}`);
    return known === "referrer" ? ["referrer", "classic"] : FORMS;
  }

  #learn({ kind, place }: Question, form: Form): void {
    this.#lastForm.set(`${kind} ${nameOf(place)}`, form);
    const registry = `${kind} ${place.source.registry}`;
    this.#onlyForm.set(registry, (this.#onlyForm.get(registry) ?? form) === form ? form : "several");
  }
}

function signed(judgements: readonly Judgement[], place: string): AuthorityOutcome {
  const facts = new Map(judgements.flatMap(({ verified }) => verified.map(({ fact }) => [fact.id, fact] as const)));
  if (facts.size === 0) return refusal(judgements, "signature", place);
  const signatures = [...facts.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  return { kind: "matched", match: { signatures } };
}

/**
 * A verifier of `key` and `keyless` authorities over what cosign stores beside images: classic signatures (or attestations, where the
 * authority names any) first, what refers to the image only if those do not suffice; the other way round in a repository
 * whose last match, or in a registry all of whose matches, were referrers. A cold verification of a classic signature costs two requests, of a bundle three beside
 * those that find nothing; they are shared by everyone who asks about the same image with the same credentials at the same time.
 *
 * A match needs evidence that `verifyCandidate` verified, over bytes that name exactly this image's digest. `failed`: looked
 * everywhere, found none. `undecided`: something could not be read, verified or evaluated, so that some may have been missed. Never
 * rejects for what a registry does, nor when the signal aborts.
 */
export function createVerifier(options: VerifierOptions): VerifyAuthority {
  const verifier = new Verifier(options);
  return (image, authority, keychain, signal) => verifier.verify(image, authority, keychain, signal);
}
