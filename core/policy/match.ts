import { matchesReference } from "../image/glob.ts";
import type { ImageReference } from "../image/reference.ts";
import { selects } from "./selector.ts";
import type { CompiledMatch, CompiledPolicy } from "./types.ts";

/** The object under admission as `match` sees it: the resource's plural and the object's own labels. */
export interface MatchSubject {
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly labels: Readonly<Record<string, string>>;
}

function entryMatches(entry: CompiledMatch, subject: MatchSubject): boolean {
  if (entry.resource !== undefined && entry.resource !== subject.resource) return false;
  if (entry.group !== undefined && entry.group !== subject.group) return false;
  if (entry.version !== undefined && entry.version !== subject.version) return false;
  // A selector that cannot be read applies: an unreadable rule must not make room.
  return entry.selector === undefined || selects(entry.selector, subject.labels) !== false;
}

/** Whether a policy governs objects of this kind and labels. No `match` means all. */
export function governs(policy: CompiledPolicy, subject: MatchSubject): boolean {
  return policy.match.length === 0 || policy.match.some((entry) => entryMatches(entry, subject));
}

/** The policies that decide on one image of one object: all of them must pass. */
export function policiesFor(
  policies: readonly CompiledPolicy[],
  image: ImageReference,
  subject: MatchSubject,
): readonly CompiledPolicy[] {
  return policies.filter(
    (policy) => governs(policy, subject) && policy.globs.some((glob) => matchesReference(glob, image)),
  );
}
