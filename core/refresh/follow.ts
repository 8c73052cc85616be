import { labelMatches } from "../registry/keychain.ts";
import { newestFirst, versionOf } from "./order.ts";
import type { RefreshPlan, TagSelector } from "./plan.ts";

// cosign's and the referrers API's fallback tags belong to an image; nobody pulls them as one.
const ATTACHED = /^sha256-[0-9a-f]{64}/;

/**
 * Whether a selector of versions or a pattern names a tag. A range names whole versions alone (`1.25` moves), by node-semver's rules:
 * a prerelease, and `1.25.3-alpine` is one, only when the range speaks of a prerelease of the same three numbers.
 */
function selects(selector: TagSelector, tag: string): boolean {
  switch (selector.kind) {
    case "name":
      return selector.name === tag;
    case "glob":
      return labelMatches(selector.glob, tag) && (!ATTACHED.test(tag) || selector.glob.startsWith("sha256-"));
    case "semver": {
      const parsed = versionOf(tag);
      return parsed?.whole === true && selector.range.test(parsed.version);
    }
    default:
      return selector satisfies never;
  }
}

/**
 * The tags of one repository to follow, the newest first, of those that it has: all that are named in full, and the newest `keep` of those
 * that patterns and ranges select. Without selectors, the newest `keep` of `held`.
 */
export function tagsToFollow(
  plan: Pick<RefreshPlan, "selectors" | "keep">,
  listed: readonly string[],
  held: ReadonlySet<string>,
): readonly string[] {
  const { selectors, keep = Number.POSITIVE_INFINITY } = plan;
  const unique = [...new Set(listed)];
  if (selectors === undefined) return newestFirst(unique.filter((tag) => held.has(tag))).slice(0, keep);
  const named = new Set(selectors.flatMap((selector) => (selector.kind === "name" ? [selector.name] : [])));
  const wide = selectors.filter(({ kind }) => kind !== "name");
  const selected = newestFirst(
    unique.filter((tag) => !named.has(tag) && wide.some((selector) => selects(selector, tag))),
  );
  return newestFirst([...unique.filter((tag) => named.has(tag)), ...selected.slice(0, keep)]);
}
