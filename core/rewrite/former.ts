import { objectAt } from "../admission/workload.ts";
import { type ImageReference, repositoryName } from "../image/reference.ts";
import { type Fields, stringField } from "../json.ts";
import { type Notes, readNotes } from "./annotations.ts";
import { parsed } from "./choose.ts";
import { imageKey, ORIGINAL_IMAGES } from "./images.ts";

/** The tag that a reference is pulled by; undefined where its digest says what is pulled. */
function tagOf({ tag, digest }: ImageReference): string | undefined {
  return tag ?? (digest === undefined ? "latest" : undefined);
}

const differ = (one: string | undefined, other: string | undefined) =>
  one !== undefined && other !== undefined && one !== other;

/**
 * The name that a Pod says its image had before a cache's, where it may be so and `origins`, which CacheRules say, do not have it: either
 * those who renamed it know a rule that is not known here, or it is not true (any more). undefined: there is no such claim. A renamed image keeps tag and
 * digest, and others may add or take away one of them, so a claim with another tag or digest is of an image that is gone.
 */
export function unexplainedName(
  claimed: string | undefined,
  image: ImageReference,
  origins: readonly ImageReference[],
): ImageReference | undefined {
  const former = claimed === undefined ? undefined : parsed(claimed);
  if (former === undefined) return undefined;
  if (differ(tagOf(former), tagOf(image)) || differ(former.digest, image.digest)) return undefined;
  const name = repositoryName(former);
  return [image, ...origins].some((known) => repositoryName(known) === name) ? undefined : former;
}

/** What a Pod's annotation says that its images were called, by `imageKey`. Anybody can write it. */
export function claimedNames(pod: Fields): Notes {
  return readNotes(stringField(objectAt(pod, ["metadata", "annotations"]), ORIGINAL_IMAGES));
}

/** What a Pod's annotation says that the image at `path`, below its spec, was called. */
export function claimOf(
  claims: Notes,
  podSpec: Fields | undefined,
  path: readonly (string | number)[],
): string | undefined {
  const key = claims.size === 0 || podSpec === undefined ? undefined : imageKey(podSpec, path);
  return key === undefined ? undefined : claims.get(key);
}
