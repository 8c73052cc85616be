import { LRUCache } from "lru-cache";
import { messageOf } from "../../core/errors.ts";
import { parseReference } from "../../core/image/reference.ts";
import type {
  AuthorityOutcome,
  KeyAuthority,
  Keychain,
  PinnedImage,
  VerifyKeyAuthority,
} from "../../core/policy/types.ts";
import type { RegistryClient } from "../registry/client.ts";
import type { Place } from "./evidence.ts";
import { type Judgement, judge, refusal } from "./judge.ts";
import { type VerificationKey, verificationKey } from "./keys.ts";
import { type Form, Lookup } from "./lookup.ts";

export interface KeyVerifierOptions {
  readonly registry: RegistryClient;
  /** For how long signatures that were found are used again without asking the registry; 5 s if absent. */
  readonly keepMs?: number;
}

const KEEP_MS = 5_000;
const REPOSITORIES_REMEMBERED = 4_096;
const BOTH: Readonly<Record<Form, readonly Form[]>> = { classic: ["classic", "bundle"], bundle: ["bundle", "classic"] };

/** Where the signatures lie: in the image's own repository, or in the one that the authority names. */
function placeOf(image: PinnedImage, authority: KeyAuthority, keychain: Keychain): Place {
  const { repository: elsewhere, tagPrefix } = authority.source;
  const { registry, repository } = elsewhere === undefined ? image.reference : parseReference(elsewhere);
  return {
    source: { registry, repository, keychain },
    digest: image.digest,
    ...(tagPrefix !== undefined && { tagPrefix }),
  };
}

class KeyVerifier {
  readonly #lookup: Lookup;
  // In which form a repository's last match was found: asked for first, which spares the other's request.
  readonly #lastForm = new LRUCache<string, Form>({ max: REPOSITORIES_REMEMBERED });

  constructor({ registry, keepMs = KEEP_MS }: KeyVerifierOptions) {
    this.#lookup = new Lookup(registry, keepMs);
  }

  async verify(
    image: PinnedImage,
    authority: KeyAuthority,
    keychain: Keychain,
    signal: AbortSignal,
  ): Promise<AuthorityOutcome> {
    let keys: readonly VerificationKey[];
    let place: Place;
    try {
      keys = authority.keys.map((pem) => verificationKey(pem, authority.hashAlgorithm));
      place = placeOf(image, authority, keychain);
    } catch (thrown) {
      return { kind: "undecided", message: `the authority cannot be used: ${messageOf(thrown)}` };
    }
    return this.#decide(place, keys, signal);
  }

  async #decide(place: Place, keys: readonly VerificationKey[], signal: AbortSignal): Promise<AuthorityOutcome> {
    const name = `${place.source.registry}/${place.source.repository}`;
    const judgements: Judgement[] = [];
    for (const form of BOTH[this.#lastForm.get(name) ?? "classic"]) {
      const { judgement, silent } = await this.#judged(form, place, keys, signal);
      if (judgement.facts.length > 0) {
        this.#lastForm.set(name, form);
        return { kind: "matched", signatures: judgement.facts };
      }
      judgements.push(judgement);
      if (silent) break;
    }
    return refusal(judgements, name);
  }

  /** What is remembered may save the requests of a match, but never causes a refusal: then the registry is asked again. */
  async #judged(
    form: Form,
    place: Place,
    keys: readonly VerificationKey[],
    signal: AbortSignal,
  ): Promise<{ judgement: Judgement; silent: boolean }> {
    const first = await this.#lookup.find(form, place, signal);
    const judgement = judge(first.evidence, keys);
    if (!first.remembered || judgement.facts.length > 0) return { judgement, silent: first.silent };
    const second = await this.#lookup.find(form, place, signal, true);
    return { judgement: judge(second.evidence, keys), silent: second.silent };
  }
}

/**
 * A verifier of `key` authorities over what cosign stores beside images: classic signatures first, bundles only if those do not
 * match (the other way round in a repository whose last match was a bundle). A cold verification of a classic signature costs two
 * requests, of a bundle three beside those that find nothing; they are shared by everyone who asks about the same image with the same
 * credentials at the same time.
 *
 * A match needs a signature that verifies with one of the authority's keys over bytes that name exactly this image's digest.
 * `failed`: looked everywhere, found no such signature. `undecided`: something could not be read, so that a signature may have
 * been missed. Never rejects for what a registry does, nor when the signal aborts.
 */
export function createKeyVerifier(options: KeyVerifierOptions): VerifyKeyAuthority {
  const verifier = new KeyVerifier(options);
  return (image, authority, keychain, signal) => verifier.verify(image, authority, keychain, signal);
}
