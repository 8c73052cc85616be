import { SemVer } from "semver";

// major.minor.patch with a prerelease; one or two numbers alone (1.25) are a version too, but a moving one: see `versionOf`.
const NUMBERS = /^v?([0-9]{1,9})(?:\.([0-9]{1,9}))?(?:\.([0-9]{1,9}))?(-[0-9A-Za-z.-]{1,100})?$/;

/** A tag as a version. */
export interface TagVersion {
  readonly version: SemVer;
  /** Whether all three numbers are written: `1.25` names whatever is newest of 1.25. */
  readonly whole: boolean;
}

/** The version that a tag names (`v1.2.3`, `1.25`, `1.25.3-alpine`), or undefined. Missing numbers count as 0. */
export function versionOf(tag: string): TagVersion | undefined {
  const [, major, minor, patch, prerelease = ""] = NUMBERS.exec(tag) ?? [];
  if (major === undefined) return undefined;
  try {
    const plain = [major, minor ?? "0", patch ?? "0"].map(Number).join(".");
    return { version: new SemVer(`${plain}${prerelease}`), whole: patch !== undefined };
  } catch {
    return undefined; // a prerelease like -01, which semver does not take
  }
}

/** Numbers in text count as numbers, so that 2026-10 comes after 2026-9. Compares by code units otherwise. */
function compareNaturally(a: string, b: string): number {
  const left = a.match(/[0-9]+|[^0-9]+/g) ?? [];
  const right = b.match(/[0-9]+|[^0-9]+/g) ?? [];
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const [x = "", y = ""] = [left[i], right[i]];
    const difference = Number(x) - Number(y); // NaN when one of them is no number
    if (difference !== 0 && !Number.isNaN(difference)) return difference;
    if (Number.isNaN(difference) && x !== y) return x < y ? -1 : 1;
  }
  return left.length - right.length;
}

interface Ranked {
  readonly tag: string;
  readonly parsed: TagVersion | undefined;
}

function newerFirst(a: Ranked, b: Ranked): number {
  if (a.parsed !== undefined && b.parsed !== undefined) {
    const order = b.parsed.version.compare(a.parsed.version);
    if (order !== 0) return order;
    if (a.parsed.whole !== b.parsed.whole) return a.parsed.whole ? -1 : 1;
  }
  if ((a.parsed === undefined) !== (b.parsed === undefined)) return a.parsed === undefined ? 1 : -1;
  const natural = compareNaturally(b.tag, a.tag);
  return natural !== 0 ? natural : a.tag < b.tag ? -1 : a.tag > b.tag ? 1 : 0;
}

/**
 * Tags from the newest to the oldest, as far as names tell, which is all that a list of tags says: versions by semantic versioning, then
 * everything else with its numbers as numbers. The order is total, so that it never changes by itself.
 */
export function newestFirst(tags: readonly string[]): readonly string[] {
  return tags
    .map((tag) => ({ tag, parsed: versionOf(tag) }))
    .sort(newerFirst)
    .map(({ tag }) => tag);
}
