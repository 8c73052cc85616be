import type { CachedImage, CacheNames, OriginalImage } from "../cachenames/types.ts";
import { shownHost } from "../cacheregistry/upstream.ts";
import { type ImageReference, repositoryName } from "../image/reference.ts";
import { staticVerdict } from "./evaluate.ts";
import { type MatchSubject, policiesFor } from "./match.ts";
import type { CompiledPolicy } from "./types.ts";

/** Which policies decide on an image, and by which names. */
export interface NamedDecision {
  /** All of them must pass. */
  readonly policies: readonly CompiledPolicy[];
  /** The image by the name that facts and records are kept under: the upstream's, where the image is written with a cached one. */
  readonly subject: ImageReference;
  /** The names that the image has besides, the nearest first; none where it is no cached name. */
  readonly upstreams: readonly ImageReference[];
  /** Whether some matching policy counts as permission. Where none does, the image is as one without a policy, whatever else they demand. */
  readonly vouched: boolean;
  /** Why policies that match are no permission, and what to do; only where there are such. */
  readonly unvouchedBecause?: string;
  /** Why the image can't be judged, and so is refused. */
  readonly refusedBecause?: string;
}

/** A name of an image: who matches it, and what may be behind it. */
interface Name {
  readonly reference: ImageReference;
  readonly own: readonly CompiledPolicy[];
  readonly origins: readonly OriginalImage[];
}

type Names = ReadonlyMap<string, Name>;

/** A cache of a cache of a cache is the most that anybody has; more is a mistake, or an attempt to hide the name that counts. */
const MOST_UPSTREAMS = 4;

/** A name as people write it, without tag and digest. */
export function shownName({ registry, repository }: ImageReference): string {
  return `${shownHost(registry)}/${repository}`;
}

/**
 * Whether a policy lets images run for their name and not for anything that was found out about them: it has a static `pass`, no
 * authority at all, or it only warns.
 */
export function passesByName(policy: CompiledPolicy): boolean {
  const { authorities, mode } = policy;
  return (
    mode === "warn" ||
    authorities.length === 0 ||
    authorities.some((authority) => authority.kind === "static" && authority.action === "pass")
  );
}

/** All names of an image, as written first; undefined where there are too many. */
function namesOf(
  policies: readonly CompiledPolicy[],
  written: ImageReference,
  names: CacheNames,
  subject: MatchSubject,
): Names | undefined {
  const found = new Map<string, Name>();
  const queue = [written];
  for (const reference of queue) {
    const key = repositoryName(reference);
    if (found.has(key)) continue;
    if (found.size > MOST_UPSTREAMS) return undefined;
    const origins = names.originsOf(reference);
    found.set(key, { reference, own: policiesFor(policies, reference, subject), origins });
    queue.push(...origins.map((origin) => origin.reference));
  }
  return found;
}

/** The name that facts about an image and its records are kept under: what CacheRules lead to in the end, or the image as it is written. */
export function subjectOf(written: ImageReference, names: CacheNames): ImageReference {
  const passed = new Set<string>();
  let last = written;
  for (let next = names.originOf(last); next !== undefined; next = names.originOf(last)) {
    passed.add(repositoryName(last));
    if (passed.size > MOST_UPSTREAMS || passed.has(repositoryName(next.reference))) return last;
    last = next.reference;
  }
  return last;
}

/** Whether the image may run for its name: a policy matches it, or whatever may be behind it, and nobody can push in between. */
function passedByName(all: Names, written: ImageReference, passed: readonly string[] = []): boolean {
  const key = repositoryName(written);
  const { own = [], origins = [] } = all.get(key) ?? {};
  if (own.length > 0) return true;
  if (origins.length === 0 || passed.includes(key)) return false;
  return origins.every(({ by, reference }) => by.cache.pullOnly && passedByName(all, reference, [...passed, key]));
}

function whatPolicySays({ name, mode }: CompiledPolicy, upstream: ImageReference): string {
  const says =
    mode === "warn" ? `only warns of ${shownName(upstream)}` : `passes ${shownName(upstream)} by its name alone`;
  return `ClusterImagePolicy "${name}" ${says}`;
}

/** Why a policy that matches `upstream` is no permission for the name that `by` makes of it. */
function openCache(policy: CompiledPolicy, upstream: ImageReference, by: CachedImage["by"], cached: ImageReference) {
  return (
    `${whatPolicySays(policy, upstream)}, and not what others may push to CacheRegistry "${by.cache.registry}" under the name that ` +
    `CacheRule "${by.rule}" gives it; write a policy for ${shownName(cached)}, or pull it through an in-cluster CacheRegistry`
  );
}

function unvouchedBecause(all: Names, written: ImageReference): string | undefined {
  const [, ...upstreams] = [...all.values()];
  const vouching = upstreams.find(({ own }) => own.length > 0);
  const [policy] = vouching?.own ?? [];
  if (vouching === undefined || policy === undefined) return undefined;
  const links = [...all.values()].flatMap(({ reference, origins }) => origins.map(({ by }) => ({ by, reference })));
  const open = links.find(({ by }) => !by.cache.pullOnly);
  if (open !== undefined) return openCache(policy, vouching.reference, open.by, written);
  return (
    `${whatPolicySays(policy, vouching.reference)}, and ${shownName(written)} may be another image by now, since ` +
    `several CacheRules name it; write a policy for ${shownName(written)}, or resume or delete those rules`
  );
}

/**
 * The policies that decide on an image as it is written: those for this name and, if it is a name in a cache, those for every name that
 * CacheRules say is behind it, whether the rules are Ready or not. A policy that passes by name counts as permission for the name that it
 * matches, and for what a cache makes of that only where nobody can push to the cache. Without rules it costs nothing.
 */
export function policiesByName(
  policies: readonly CompiledPolicy[],
  reference: ImageReference,
  names: CacheNames,
  subject: MatchSubject,
): NamedDecision {
  if (names.size === 0 || names.originOf(reference) === undefined) {
    const own = policiesFor(policies, reference, subject);
    return { policies: own, subject: reference, upstreams: [], vouched: own.length > 0 };
  }
  const all = namesOf(policies, reference, names, subject);
  if (all === undefined) {
    const refusedBecause = `CacheRules give it more than ${MOST_UPSTREAMS} names besides this one; see kubectl get cacherules for those that lead to each other`;
    return { policies: [], subject: reference, upstreams: [], vouched: false, refusedBecause };
  }
  const matching = new Set([...all.values()].flatMap(({ own }) => own));
  const vouched = [...matching].some((policy) => !passesByName(policy)) || passedByName(all, reference);
  const because = vouched ? undefined : unvouchedBecause(all, reference);
  return {
    policies: policies.filter((policy) => matching.has(policy)),
    subject: subjectOf(reference, names),
    upstreams: [...all.values()].slice(1).map((name) => name.reference),
    vouched,
    ...(because !== undefined && { unvouchedBecause: because }),
  };
}

/**
 * Why an image that is admitted by its upstream's name might not be by the cached one, in words for the user; undefined where it is.
 * A policy for the cached name alone that would have to find something out counts as well: nobody has looked yet.
 */
export function refusalByName(
  policies: readonly CompiledPolicy[],
  original: ImageReference,
  cached: CachedImage,
  names: CacheNames,
  subject: MatchSubject,
  noMatchPolicy: "deny" | "allow" | "warn" = "deny",
): string | undefined {
  const before = policiesFor(policies, original, subject);
  const after = policiesByName(policies, cached.reference, names, subject);
  const stranger = after.policies.find((policy) => !before.includes(policy) && mayRefuse(policy));
  if (stranger !== undefined) {
    return `ClusterImagePolicy "${stranger.name}" is for ${shownName(cached.reference)} and not for ${shownName(original)}: nobody knows whether the image satisfies it`;
  }
  if (after.refusedBecause !== undefined) return after.refusedBecause;
  return before.length === 0 || noMatchPolicy === "allow" ? undefined : after.unvouchedBecause;
}

/**
 * Why no image of an object may be given another name, in words for the user: a policy that decides on one of them has a `spec.policy` that is
 * shown the spec, with all names in it, and may refuse by them, or have refused by those that they had. undefined: there is none.
 */
export function refusalBySpec(
  policies: readonly CompiledPolicy[],
  images: readonly ImageReference[],
  names: CacheNames,
  subject: MatchSubject,
): string | undefined {
  const readers = policies.filter(({ mode, condition }) => mode === "enforce" && condition?.includeSpec === true);
  if (readers.length === 0) return undefined;
  const [reader] = images.flatMap((image) => policiesByName(readers, image, names, subject).policies);
  return (
    reader && `ClusterImagePolicy "${reader.name}" reads the Pod's spec (includeSpec), and with it the images' names`
  );
}

/** Whether the policy could refuse an image that it matches. */
export function mayRefuse(policy: CompiledPolicy): boolean {
  return policy.mode === "enforce" && (policy.condition !== undefined || staticVerdict(policy)?.kind !== "pass");
}
