import type { Lookup, LookupPlace } from "../../core/cachenames/lookups.ts";
import { shownName } from "../../core/policy/named.ts";

function shownPlace(place: LookupPlace): string {
  return place.kind === "cache" ? `CacheRegistry "${place.cache.registry}"` : shownName(place.reference);
}

/** How far a lookup is that asks `asked` now, in words for who gives up waiting for it; `said` is what the places before it answered. */
export function standing(
  { places, leftOut }: Lookup,
  asked: LookupPlace,
  said: ReadonlyMap<LookupPlace, string>,
): string {
  const each = places.map((place) => {
    if (place === asked) return `${shownPlace(place)} was still being asked`;
    const answer = said.get(place);
    return `${shownPlace(place)} ${answer === undefined ? "was not asked yet" : `was asked before: ${answer}`}`;
  });
  const without = leftOut === undefined ? [] : [`CacheRegistry "${leftOut.registry}" was not asked: ${leftOut.why}`];
  return [...without, ...each].join("; ");
}
