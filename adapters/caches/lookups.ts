import { LRUCache } from "lru-cache";
import { evidenceLookup, type Lookup, type LookupPlace, tagLookup } from "../../core/cachenames/lookups.ts";
import type { CacheNames } from "../../core/cachenames/types.ts";
import { DomainError, messageOf } from "../../core/errors.ts";
import { type ImageReference, parseReference, repositoryName } from "../../core/image/reference.ts";
import type {
  AuthorityOutcome,
  FetchConfigFiles,
  Keychain,
  PinnedImage,
  ResolveDigest,
  Say,
  SignedAuthority,
  VerifyAuthority,
} from "../../core/policy/types.ts";
import { abortable, startDeadline } from "../deadline.ts";
import { isRegistryError } from "../registry/errors.ts";
import type { CacheEntrances } from "./entrances.ts";
import { standing } from "./standing.ts";

/** What admission asks of registries. */
export interface RegistryPorts {
  readonly verify: VerifyAuthority;
  readonly resolve: ResolveDigest;
  readonly configFiles: FetchConfigFiles;
}

export interface CacheLookupsOptions {
  /** The names of this moment. */
  readonly names: () => CacheNames;
  readonly entrances: Pick<CacheEntrances, "enter">;
  /** How long a cache may take before the upstream is asked; 5 s if absent. */
  readonly turnMs?: number;
}

/** What is asked, of whatever place. */
type Ask<T> = (reference: ImageReference, keychain: Keychain, signal: AbortSignal) => Promise<T>;

type CachePlace = Extract<LookupPlace, { readonly kind: "cache" }>;

const TURN_MS = 5_000;
const SLOW_MS = 10_000; // a tag's lookup must not wait for a cache that its verification then waits for again
const SLOW_REMEMBERED = 1_024;
const NO_ANSWER = ["REGISTRY_UNREACHABLE", "REGISTRY_TIMEOUT", "REGISTRY_THROTTLED"] as const;

class Places {
  readonly #options: CacheLookupsOptions;
  // Repositories whose cache took longer than its turn: with `both` it is left out for a moment.
  readonly #slow = new LRUCache<string, true>({ max: SLOW_REMEMBERED, ttl: SLOW_MS });

  constructor(options: CacheLookupsOptions) {
    this.#options = options;
  }

  get names(): CacheNames {
    return this.#options.names();
  }

  /** Asks a cache that nobody stands in for. Throws. */
  async inCache<T>(place: CachePlace, workload: Keychain, signal: AbortSignal, ask: Ask<T>): Promise<T> {
    const { reference, keychain } = await this.#options.entrances.enter(place, workload);
    return await ask(reference, keychain, signal);
  }

  /** Asks a cache that is not the only place, for as long as its turn lasts. Throws, with the signal's own reason once it aborts. */
  async inTurn<T>(place: CachePlace, workload: Keychain, signal: AbortSignal, ask: Ask<T>): Promise<T> {
    const key = repositoryName(place.reference);
    const { turnMs = TURN_MS } = this.#options;
    if (this.#slow.has(key)) throw new DomainError("CACHE_SLOW", "it was too slow a moment ago");
    using turn = startDeadline(turnMs, signal);
    try {
      return await abortable(this.inCache(place, workload, turn.signal, ask), turn.signal);
    } catch (thrown) {
      signal.throwIfAborted();
      if (!turn.expired) throw thrown;
      this.#slow.set(key, true);
      throw new DomainError("CACHE_SLOW", `no answer within ${turnMs / 1000} s`);
    }
  }
}

/** What places said that did not help. */
type Answers = ReadonlyMap<LookupPlace, string>;

/** What is said of a cache that did not help, behind what the upstream's failure says. */
function beside({ places, leftOut }: Lookup, answers: Answers): string {
  if (leftOut !== undefined) return `; CacheRegistry "${leftOut.registry}" was not asked: ${leftOut.why}`;
  const place = places.find(({ kind }) => kind === "cache");
  const said = place && answers.get(place);
  return said === undefined || place?.kind !== "cache"
    ? ""
    : `; CacheRegistry "${place.cache.registry}" was asked too: ${said}`;
}

/** The upstream's failure where it gave no answer, with the cache's beside it; any other is its answer, and stays as it is. */
function withCache(upstream: unknown, more: string): unknown {
  return more !== "" && isRegistryError(upstream, ...NO_ANSWER) ? upstream.saying(more) : upstream;
}

/** An image that no cache has to do with is told of nowhere: its message names the one registry anyway. */
function tell(lookup: Lookup, place: LookupPlace, answers: Answers, say: Say | undefined): void {
  const caches = lookup.leftOut !== undefined || lookup.places.some(({ kind }) => kind === "cache");
  if (caches) say?.(standing(lookup, place, answers));
}

/** The first answer of the places in their order, or the upstream's failure. */
async function firstOf<T>(
  places: Places,
  lookup: Lookup,
  keychain: Keychain,
  signal: AbortSignal,
  ask: Ask<T>,
  say?: Say,
): Promise<T> {
  const [only] = lookup.places;
  const answers = new Map<LookupPlace, string>();
  let failure: unknown;
  for (const place of lookup.places) {
    tell(lookup, place, answers, say);
    if (place === only && place.kind === "cache" && lookup.places.length === 1)
      return await places.inCache(place, keychain, signal, ask);
    try {
      if (place.kind === "upstream") return await ask(place.reference, keychain, signal);
      return await places.inTurn(place, keychain, signal, ask);
    } catch (thrown) {
      if (signal.aborted) throw thrown;
      answers.set(place, messageOf(thrown));
      if (place.kind === "upstream") failure = thrown;
      if (place.kind === "upstream" && !isRegistryError(thrown, ...NO_ANSWER)) break;
    }
  }
  throw withCache(failure, beside(lookup, answers));
}

/** The repository that an authority's evidence lies in; undefined for one that the verifier will refuse. */
function subjectOf({ reference }: PinnedImage, { source }: SignedAuthority): ImageReference | undefined {
  if (source.repository === undefined) return reference;
  try {
    return parseReference(source.repository);
  } catch {
    return undefined;
  }
}

class Verifications {
  readonly #places: Places;
  readonly #verify: VerifyAuthority;
  // One for each authority, as verifiers remember what they prepared for it.
  readonly #inOneRepository = new WeakMap<SignedAuthority, SignedAuthority>();

  constructor(places: Places, verify: VerifyAuthority) {
    this.#places = places;
    this.#verify = verify;
  }

  async verify(
    image: PinnedImage,
    authority: SignedAuthority,
    keychain: Keychain,
    signal: AbortSignal,
    say?: Say,
  ): Promise<AuthorityOutcome> {
    const subject = subjectOf(image, authority);
    if (subject === undefined) return await this.#verify(image, authority, keychain, signal);
    const lookup = evidenceLookup(subject, this.#places.names);
    const ask: Ask<AuthorityOutcome> = async (reference, as, until) =>
      reference === subject
        ? await this.#verify(image, authority, as, until)
        : await this.#verify({ ...image, reference }, this.#beside(authority), as, until);
    return await this.#ask(lookup, keychain, signal, ask, say);
  }

  /** The same authority with its evidence in the repository of the image that it is asked about. */
  #beside(authority: SignedAuthority): SignedAuthority {
    if (authority.source.repository === undefined) return authority;
    const known = this.#inOneRepository.get(authority);
    if (known !== undefined) return known;
    const { repository: _elsewhere, ...source } = authority.source;
    const moved = { ...authority, source };
    this.#inOneRepository.set(authority, moved);
    return moved;
  }

  /** A match anywhere is a match; otherwise the last place's answer is the answer. */
  async #ask(
    lookup: Lookup,
    keychain: Keychain,
    signal: AbortSignal,
    ask: Ask<AuthorityOutcome>,
    say: Say | undefined,
  ): Promise<AuthorityOutcome> {
    const alone = lookup.places.length === 1;
    const answers = new Map<LookupPlace, string>();
    for (const place of lookup.places) {
      tell(lookup, place, answers, say);
      if (place.kind === "upstream") {
        const outcome = await ask(place.reference, keychain, signal);
        if (outcome.kind !== "undecided") return outcome;
        return { ...outcome, message: `${outcome.message}${beside(lookup, answers)}` };
      }
      const outcome = await this.#inCache(place, alone, keychain, signal, ask);
      if (alone || outcome.kind === "matched") return outcome;
      answers.set(place, outcome.message);
    }
    return { kind: "undecided", message: "there is no place to look for signatures" };
  }

  async #inCache(
    place: CachePlace,
    alone: boolean,
    keychain: Keychain,
    signal: AbortSignal,
    ask: Ask<AuthorityOutcome>,
  ): Promise<AuthorityOutcome> {
    try {
      if (alone) return await this.#places.inCache(place, keychain, signal, ask);
      return await this.#places.inTurn(place, keychain, signal, ask);
    } catch (thrown) {
      const why = signal.aborted ? "it gave no complete answer before the deadline; try again" : messageOf(thrown);
      return { kind: "undecided", message: alone ? `CacheRegistry "${place.cache.registry}": ${why}` : why };
    }
  }
}

/**
 * The same ports, by way of the caches that the CacheRules name for an image (`evidenceLookup`, `tagLookup`). An image that no rule
 * names costs the same requests as without, and gets the same answers. With two places the cache's turn is bounded; what matched in
 * either is a match, otherwise the upstream's answer stands, and where the upstream gave none both reasons are named.
 */
export function throughCaches(ports: RegistryPorts, options: CacheLookupsOptions): RegistryPorts {
  const places = new Places(options);
  const verifications = new Verifications(places, ports.verify);
  return {
    verify: (image, authority, keychain, signal, say) => verifications.verify(image, authority, keychain, signal, say),
    resolve: async (reference, keychain, signal, say) => {
      if (reference.digest !== undefined) return reference.digest;
      return await firstOf(places, tagLookup(reference, places.names), keychain, signal, ports.resolve, say);
    },
    configFiles: async (image, keychain, signal, say) => {
      const ask: Ask<string> = (reference, as, until) =>
        ports.configFiles(reference === image.reference ? image : { ...image, reference }, as, until);
      return await firstOf(places, evidenceLookup(image.reference, places.names), keychain, signal, ask, say);
    },
  };
}
