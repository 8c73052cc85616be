import type { CacheNames } from "../cachenames/types.ts";
import { messageOf } from "../errors.ts";
import { type ImageReference, parseReference } from "../image/reference.ts";
import { type Fields, fieldsOf } from "../json.ts";
import { claimedToo } from "../policy/claimed.ts";
import type { MatchSubject } from "../policy/match.ts";
import { type NamedDecision, policiesByName } from "../policy/named.ts";
import type { CompiledPolicy } from "../policy/types.ts";
import type { Notes } from "../rewrite/annotations.ts";
import { claimedNames, claimOf, unexplainedName } from "../rewrite/former.ts";
import { type AdmissionRequest, stringMap } from "./request.ts";
import { type ImageField, imageFields, objectAt, type WorkloadKind } from "./workload.ts";

/** One image of the object that must be judged. */
export interface ImageTask extends Omit<NamedDecision, "refusedBecause"> {
  /** As users write it: `spec.template.spec.containers[0].image`. */
  readonly field: string;
  /** The same as path tokens from the object's root. */
  readonly path: readonly (string | number)[];
  readonly reference: ImageReference;
  /** Why it is refused, whatever its policies say: by the name that it is said to have had others may be its policies too. */
  readonly unexplained?: string;
}

/** An image field that can't be judged: refused as it stands. */
export interface InvalidImage {
  readonly field: string;
  readonly image: string;
  /** What is wrong; absent: it is no image reference. */
  readonly problem?: string;
  readonly why: string;
}

export interface Plan {
  readonly tasks: readonly ImageTask[];
  readonly invalid: readonly InvalidImage[];
  /** No image of this UPDATE is new: whatever is found, the object is not refused. */
  readonly unchanged: boolean;
}

/** No workload has as many images; what each costs would be paid while nobody else is answered. */
export const IMAGES_LIMIT = 500;

function tooMany(count: number, { podSpec }: WorkloadKind): InvalidImage {
  const why = `at most ${IMAGES_LIMIT} images of one object are judged; give it fewer containers`;
  return { field: fieldName(podSpec), image: String(count), problem: "too many images", why };
}

function fieldName(path: readonly (string | number)[]): string {
  return path.reduce<string>(
    (text, part) => (typeof part === "number" ? `${text}[${part}]` : text === "" ? part : `${text}.${part}`),
    "",
  );
}

/** The pod template of a workload kind in an object, or undefined for a Pod, which is its own. */
function template(kind: WorkloadKind, object: Fields): Fields | undefined {
  return kind.podSpec.length > 1 ? objectAt(object, kind.podSpec.slice(0, -1)) : undefined;
}

function images(kind: WorkloadKind, object: Fields): readonly ImageField[] {
  const podSpec = objectAt(object, kind.podSpec);
  return podSpec === undefined ? [] : imageFields(podSpec);
}

/**
 * The image fields to judge. CREATE: all. UPDATE of a Pod: those whose value the old Pod did not have. UPDATE of a template: all,
 * and they count as new if the template changed in any way (a restarted rollout resolves its tags anew).
 */
function fieldsToJudge(
  request: AdmissionRequest,
  kind: WorkloadKind,
): { fields: readonly ImageField[]; unchanged: boolean } {
  const fields = images(kind, request.object);
  if (request.operation !== "UPDATE" || request.oldObject === undefined) return { fields, unchanged: false };
  const now = template(kind, request.object);
  if (now !== undefined) {
    const same = JSON.stringify(now) === JSON.stringify(template(kind, request.oldObject));
    return { fields, unchanged: same };
  }
  const before = new Set(images(kind, request.oldObject).map(({ image }) => image));
  const added = fields.filter(({ image }) => !before.has(image));
  return added.length > 0 ? { fields: added, unchanged: false } : { fields, unchanged: true };
}

/** Whether this is an UPDATE that brings no new image: an object that is there already is not refused for what it was admitted with. */
export function isUnchanged(request: AdmissionRequest, kind: WorkloadKind): boolean {
  return fieldsToJudge(request, kind).unchanged;
}

/** What a new Pod says that its images were called: only then are they renamed, and what is said is out of date once one is changed. */
function claimsOf({ object, operation }: AdmissionRequest, { kind }: WorkloadKind): Notes {
  return kind === "Pod" && operation === "CREATE" ? claimedNames(object) : new Map();
}

/** What has to be decided about a request, from the object, the policies and the names that CacheRules make equal, alone. */
export function planAdmission(
  request: AdmissionRequest,
  kind: WorkloadKind,
  policies: readonly CompiledPolicy[],
  names: CacheNames,
): Plan {
  const labels = stringMap(fieldsOf(request.object["metadata"])?.["labels"]);
  const subject: MatchSubject = { group: request.group, version: request.version, resource: kind.plural, labels };
  const tasks: ImageTask[] = [];
  const invalid: InvalidImage[] = [];
  const { fields, unchanged } = fieldsToJudge(request, kind);
  if (fields.length > IMAGES_LIMIT && !unchanged) return { tasks, invalid: [tooMany(fields.length, kind)], unchanged };
  const podSpec = objectAt(request.object, kind.podSpec);
  const claims = claimsOf(request, kind);
  for (const { path: below, image } of fields) {
    const path = [...kind.podSpec, ...below];
    const field = fieldName(path);
    try {
      const reference = parseReference(image);
      const { refusedBecause: why, ...decision } = policiesByName(policies, reference, names, subject);
      const claimed = unexplainedName(claimOf(claims, podSpec, below), reference, decision.upstreams);
      const more = claimed && claimedToo(decision, claimed, policies, names, subject);
      if (why === undefined) tasks.push({ field, path, reference, ...decision, ...more });
      else invalid.push({ field, image, problem: "too many names", why });
    } catch (thrown) {
      invalid.push({ field, image, why: messageOf(thrown) });
    }
  }
  return { tasks, invalid, unchanged };
}
