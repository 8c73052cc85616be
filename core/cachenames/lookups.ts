import type { ImageReference } from "../image/reference.ts";
import type { Cache, CacheNames } from "./types.ts";

/** One place where a repository can be read, and what it is called there. */
export type LookupPlace =
  | { readonly kind: "upstream"; readonly reference: ImageReference }
  | { readonly kind: "cache"; readonly cache: Cache; readonly reference: ImageReference };

/** Where something is looked up. */
export interface Lookup {
  /** One place or two, in the order in which they are asked. */
  readonly places: readonly LookupPlace[];
  /** A cache that would be asked as well, were it reachable. */
  readonly leftOut?: { readonly registry: string; readonly why: string };
}

type CachePlace = Extract<LookupPlace, { readonly kind: "cache" }>;
type UpstreamPlace = Extract<LookupPlace, { readonly kind: "upstream" }>;

/** Both names of a repository. */
interface Named {
  readonly inCache: CachePlace;
  readonly upstream: UpstreamPlace;
  /** It was written with its name in the cache. */
  readonly asCached: boolean;
}

/** By the rule that makes the name, or else by the most specific rule of the upstream's name. */
function namedBy(reference: ImageReference, names: CacheNames): Named | undefined {
  const origin = names.originOf(reference);
  if (origin !== undefined) {
    const inCache: CachePlace = { kind: "cache", cache: origin.by.cache, reference };
    return { inCache, upstream: { kind: "upstream", reference: origin.reference }, asCached: true };
  }
  const [cached] = names.cachedAs(reference);
  if (cached === undefined) return undefined;
  const inCache: CachePlace = { kind: "cache", cache: cached.by.cache, reference: cached.reference };
  return { inCache, upstream: { kind: "upstream", reference }, asCached: false };
}

/** A cache and the upstream in an order of theirs; without the cache while it is known not to answer. */
function both(places: readonly [LookupPlace, LookupPlace], { inCache, upstream }: Named): Lookup {
  const { registry, unreachable } = inCache.cache;
  return unreachable === undefined ? { places } : { places: [upstream], leftOut: { registry, why: unreachable } };
}

/**
 * Where signatures, attestations and configuration files of an image are looked up: things that prove themselves, by a signature or a
 * digest, wherever they are found. An image that no rule names has one place, its own.
 */
export function evidenceLookup(reference: ImageReference, names: CacheNames): Lookup {
  const named = namedBy(reference, names);
  if (named === undefined) return { places: [{ kind: "upstream", reference }] };
  const { inCache, upstream } = named;
  switch (inCache.cache.signatures) {
    case "cache":
      return { places: [inCache] };
    case "upstream":
      return { places: [upstream] };
    case "both":
      return both([inCache, upstream], named);
  }
}

/**
 * Where it is looked up what a tag names. A tag of the cache's own name is the cache's to say, for nodes pull it there. Of the
 * upstream's name a cache in the cluster is asked first, because it asks the upstream itself; others may hold a tag for a day, so
 * with `both` they stand in for an upstream that gives no answer.
 */
export function tagLookup(reference: ImageReference, names: CacheNames): Lookup {
  const named = namedBy(reference, names);
  if (named === undefined) return { places: [{ kind: "upstream", reference }] };
  const { inCache, upstream, asCached } = named;
  const { signatures, pullOnly } = inCache.cache;
  if (signatures === "cache") return { places: [inCache] };
  if (asCached) return both([inCache, upstream], named);
  if (signatures === "upstream") return { places: [upstream] };
  return both(pullOnly ? [inCache, upstream] : [upstream, inCache], named);
}
