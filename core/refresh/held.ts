import { newestFirst } from "./order.ts";

/** A tag that was pulled through the cache, as `status.cached.tags` of a CacheRule has it. */
export interface HeldTag {
  /** The name in the cache, without its host. */
  readonly repository: string;
  readonly tag: string;
  readonly digest: string;
  /** RFC 3339, whole seconds: when it was last pulled through. */
  readonly lastPull?: string;
  readonly bytes?: number;
}

/** `status.cached`. */
export interface CachedStatus {
  readonly refreshed?: string;
  readonly total?: number;
  readonly tags?: readonly HeldTag[];
}

/** What a tag should name. */
export interface WantedTag {
  readonly repository: string;
  readonly tag: string;
  readonly digest: string;
}

/** Why a tag is pulled. */
export type PullReason = "new" | "moved" | "expired";

const LISTED = 100; // maxItems of status.cached.tags

/** A tag's name in a map. */
export function keyOf({ repository, tag }: Pick<HeldTag, "repository" | "tag">): string {
  return `${repository}:${tag}`;
}

/** When the registry drops what was pulled at `lastPull`, in milliseconds since the epoch; never with a `ttlMs` of Infinity. */
export function expiryOf(held: HeldTag, ttlMs: number): number {
  if (ttlMs === Number.POSITIVE_INFINITY) return ttlMs;
  const pulled = held.lastPull === undefined ? Number.NaN : Date.parse(held.lastPull);
  return Number.isNaN(pulled) ? 0 : pulled + ttlMs;
}

/** Why a tag has to be pulled now, or undefined when the cache holds it. */
export function pullReason(
  wanted: WantedTag,
  held: HeldTag | undefined,
  ttlMs: number,
  now: Date,
): PullReason | undefined {
  if (held === undefined) return "new";
  if (held.digest !== wanted.digest) return "moved";
  return expiryOf(held, ttlMs) <= now.getTime() ? "expired" : undefined;
}

function inOrder(held: readonly HeldTag[]): readonly HeldTag[] {
  const byRepository = new Map<string, HeldTag[]>();
  for (const one of held) byRepository.set(one.repository, [...(byRepository.get(one.repository) ?? []), one]);
  return [...byRepository.keys()].sort().flatMap((repository) => {
    const own = new Map((byRepository.get(repository) ?? []).map((one) => [one.tag, one]));
    return newestFirst([...own.keys()]).flatMap((tag) => own.get(tag) ?? []);
  });
}

/** The first tag of each repository, then the second of each, up to `LISTED` in all: no repository crowds the others out. */
function fairShare(ordered: readonly HeldTag[]): readonly HeldTag[] {
  if (ordered.length <= LISTED) return ordered;
  const ranks = new Map<string, number>();
  const ranked = ordered.map((one, index) => {
    const rank = ranks.get(one.repository) ?? 0;
    ranks.set(one.repository, rank + 1);
    return { one, index, rank };
  });
  const chosen = ranked.sort((a, b) => a.rank - b.rank || a.index - b.index).slice(0, LISTED);
  return chosen.sort((a, b) => a.index - b.index).map(({ one }) => one);
}

/**
 * `status.cached` for what is held: repositories by name, in each the newest tags first, 100 at most. `refreshed` is the time at which the
 * rest last changed, so that equal holdings give an equal status.
 */
export function cachedStatus(held: readonly HeldTag[], known: CachedStatus | undefined, now: string): CachedStatus {
  const tags = fairShare(inOrder(held));
  const total = held.length;
  const same = known?.total === total && JSON.stringify(plain(known.tags ?? [])) === JSON.stringify(plain(tags));
  return { refreshed: same ? (known?.refreshed ?? now) : now, total, tags };
}

function plain(tags: readonly HeldTag[]): readonly unknown[] {
  return tags.map(({ repository, tag, digest, lastPull, bytes }) => [repository, tag, digest, lastPull, bytes]);
}
