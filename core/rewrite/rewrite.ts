import type { Operation } from "fast-json-patch";
import { imagePatch } from "../admission/patch.ts";
import type { AdmissionRequest } from "../admission/request.ts";
import type { CacheNames, NamedRule } from "../cachenames/types.ts";
import { type Fields, fieldsOf } from "../json.ts";
import { annotationOperations, haveRoom, writeNotes } from "./annotations.ts";
import { type Choice, chooseName, isFormerName, parsed, type Refusal } from "./choose.ts";
import { claimedNames, unexplainedName } from "./former.ts";
import { imagesOf, isRewritable, isWritable, NOT_REWRITTEN, ORIGINAL_IMAGES, type PodImage } from "./images.ts";
import { namesPullSecret } from "./pullsecrets.ts";

/** An image that is given a cache's name. */
export interface RenamedImage extends PodImage {
  readonly to: string;
  readonly by: NamedRule;
}

/** An image that a rule covers, and why it keeps its name, in words for the user. */
export interface KeptImage extends PodImage {
  readonly reason: string;
}

/** What rewriting does to one Pod. */
export interface Rewriting {
  /** Images and annotations; pull Secrets are added once it is known which there are. */
  readonly patch: readonly Operation[];
  readonly renamed: readonly RenamedImage[];
  readonly kept: readonly KeptImage[];
}

const NOTHING: Rewriting = { patch: [], renamed: [], kept: [] };
/** Characters of a reason: conditions quote what registries say. */
const REASON_LIMIT = 400;
const NO_ROOM = "the Pod's annotations leave no room for the name as it is written";

function reasonText(reason: string): string {
  const short = reason.length > REASON_LIMIT ? `${reason.slice(0, REASON_LIMIT)}…` : reason;
  return `${short.toWellFormed()}; the upstream's name is used`;
}

interface Decided {
  readonly image: PodImage;
  readonly choice: Choice;
}

/** Whether `before` is what an earlier invocation noted, by a rule that is known here, or by one that may be known to another replica alone. */
function isKept(before: string, { image, choice }: Decided, names: CacheNames): boolean {
  if (choice.kind === "cached" && isFormerName(before, choice.origin)) return true;
  const now = parsed(image.image);
  const origins = now === undefined ? [] : names.originsOf(now).map(({ reference }) => reference);
  return now !== undefined && unexplainedName(before, now, origins) !== undefined;
}

/** The names as they were: of what is renamed now, and of what an earlier invocation renamed. */
function originalNames(decided: readonly Decided[], pod: Fields, names: CacheNames): string | undefined {
  const earlier = claimedNames(pod);
  const notes = new Map<string, string>();
  for (const one of decided) {
    const { key, image } = one.image;
    const before = earlier.get(key);
    if (one.choice.kind === "renamed") notes.set(key, image);
    else if (before !== undefined && !notes.has(key) && isKept(before, one, names)) notes.set(key, before);
  }
  return writeNotes(notes);
}

/** Pull Secrets come with a Pod's creation: a later container of it can use those that are there. */
function withoutPullSecret(request: AdmissionRequest, refusal: Refusal): Refusal {
  return (original, cached) => {
    const { cache } = cached.by;
    if (namesPullSecret(request.object, cache)) return refusal(original, cached);
    return `CacheRegistry "${cache.registry}" is pulled from with Secret "${cache.imagePullSecretName}", which this Pod does not name`;
  };
}

function outcome(decided: readonly Decided[]): Rewriting {
  const renamed = decided.flatMap(({ image, choice }) =>
    choice.kind === "renamed" ? [{ ...image, to: choice.image, by: choice.by }] : [],
  );
  const kept = decided.flatMap(({ image, choice }) =>
    choice.kind === "kept" ? [{ ...image, reason: reasonText(choice.reason) }] : [],
  );
  return { patch: renamed.map(({ path, to }) => imagePatch(path, to)), renamed, kept };
}

function noted(decided: readonly Decided[], originals: string | undefined, metadata: Fields): Rewriting {
  const { patch, renamed, kept } = outcome(decided);
  const reasons = writeNotes(new Map(kept.map(({ key, reason }) => [key, reason])));
  const fits = reasons !== undefined && haveRoom(metadata, originals, reasons);
  const annotations = { [ORIGINAL_IMAGES]: originals, [NOT_REWRITTEN]: fits ? reasons : undefined };
  return { patch: [...patch, ...annotationOperations(metadata, annotations)], renamed, kept };
}

/**
 * Decides which images of a Pod are pulled from a cache, and what is written on it: names as they were in `entrepot.dev/original-images`, reasons why others keep theirs
 * in `entrepot.dev/not-rewritten`. Tag and digest stay. Doing it again changes nothing. What is no creation of a Pod or of an ephemeral container, a mirror Pod or
 * one that opted out is left as it is. `refusal` may object to each name. Never throws, whatever the object is like.
 */
export function rewrite(request: AdmissionRequest, names: CacheNames, refusal: Refusal): Rewriting {
  const metadata = fieldsOf(request.object["metadata"]);
  if (metadata === undefined || !isRewritable(request)) return NOTHING;
  const images = imagesOf(request);
  const decide = (objection: Refusal) =>
    images.map((image): Decided => ({ image, choice: chooseName(image.image, names, objection) }));
  if (!isWritable(request)) return outcome(decide(withoutPullSecret(request, refusal)));
  const decided = decide(refusal);
  const originals = originalNames(decided, request.object, names);
  if (haveRoom(metadata, originals)) return noted(decided, originals, metadata);
  const left = decide(() => NO_ROOM);
  return noted(left, originalNames(left, request.object, names), metadata);
}
