import type { CachedImage, CacheNames, NamedRule } from "../cachenames/types.ts";
import { canonicalName, type ImageReference, parseReference, repositoryName } from "../image/reference.ts";

/** Why an image must keep its name although a rule has another for it; undefined if it need not. */
export type Refusal = (original: ImageReference, cached: CachedImage) => string | undefined;

/** What to do about one image. */
export type Choice =
  /** It is given the name of `by`. */
  | { readonly kind: "renamed"; readonly by: NamedRule; readonly image: string }
  /** A rule covers it, and none can be used now. */
  | { readonly kind: "kept"; readonly reason: string }
  /** It has a cache's name already. */
  | { readonly kind: "cached"; readonly origin: ImageReference }
  /** No rule covers it, or the one that does says so, or it is no image reference, which is for validation to refuse. */
  | { readonly kind: "none" };

/** An image reference, or undefined where it is none. */
export function parsed(image: string): ImageReference | undefined {
  try {
    return parseReference(image);
  } catch {
    return undefined;
  }
}

/** Two rules can make one name, of which a registry knows one meaning: what is pulled by it must be the image that was asked for. */
function leadsElsewhere(original: ImageReference, { by, reference }: CachedImage, names: CacheNames) {
  const name = repositoryName(original);
  const other = names.originsOf(reference).find((origin) => repositoryName(origin.reference) !== name);
  if (other === undefined) return undefined;
  return `CacheRule "${by.rule}" makes it ${reference.asWritten}, by which CacheRule "${other.by.rule}" means ${canonicalName(other.reference)}`;
}

/**
 * Chooses the name of one image: that of the most specific rule that can be used now. A rule with `rewrite: Never` ends the search: the
 * images that it covers keep their names, unless a more specific rule is used. The reason for `kept` is that of the most specific rule.
 */
export function chooseName(image: string, names: CacheNames, refusal: Refusal): Choice {
  const original = parsed(image);
  if (original === undefined) return { kind: "none" };
  const origin = names.originOf(original)?.reference;
  if (origin !== undefined) return { kind: "cached", origin };
  let reason: string | undefined;
  for (const cached of names.cachedAs(original)) {
    if (!cached.by.rewrites) break;
    const why = cached.by.obstacle ?? leadsElsewhere(original, cached, names) ?? refusal(original, cached);
    if (why === undefined) return { kind: "renamed", by: cached.by, image: cached.reference.asWritten };
    reason ??= why;
  }
  return reason === undefined ? { kind: "none" } : { kind: "kept", reason };
}

/** Whether `claimed` can be what the image was called before it got its cache's name: a digest may have been added since. */
export function isFormerName(claimed: string, origin: ImageReference): boolean {
  const former = parsed(claimed);
  if (former === undefined || repositoryName(former) !== repositoryName(origin)) return false;
  return former.tag === origin.tag && (former.digest === undefined || former.digest === origin.digest);
}
