import { WORKLOAD_KINDS, type WorkloadKind } from "../admission/workload.ts";
import { CACHE_ANNOTATION } from "../cache/record.ts";
import { canonicalJson, fieldsOf } from "../json.ts";
import { METADATA_READS, type MetadataReads, type PolicyReads, READS_EVERYTHING } from "./reads.ts";

/** One entry of a webhook's `matchConditions` (CEL): the API server calls the webhook only if all of them hold. */
export interface MatchCondition {
  readonly name: string;
  readonly expression: string;
}

/** Every write moves these; `affected` in webhooks/conditions.ts leaves out the same. */
const BOOKKEEPING = ["managedFields", "resourceVersion", "generation"];

const KIND = 'request.kind.group + "/" + request.kind.kind';
const SUBRESOURCE = `${KIND} + "/" + request.?subResource.orValue("")`;

const differ = (field: string) => `object${field} != oldObject${field}`;

/** Where a kind has what the webhooks take for new or not (`isUnchanged`): its pod template; a Pod, its spec. */
function judgedPart({ podSpec }: WorkloadKind): string {
  const path = podSpec.length > 1 ? podSpec.slice(0, -1) : podSpec;
  return path.map((name) => `.?${name}`).join("");
}

/** Whether the judged part differs: never by what brings no image; else a choice by kind, and yes for a kind that is not in the table. */
function templateDiffers(kinds: readonly WorkloadKind[]): string {
  const imageless = kinds.flatMap((row) => (row.imageless ?? []).map((part) => `${row.group}/${row.kind}/${part}`));
  const parts = [...new Set(kinds.map(judgedPart))];
  const choices = parts.map((part) => {
    const names = kinds.filter((kind) => judgedPart(kind) === part).map(({ group, kind }) => `${group}/${kind}`);
    return `${KIND} in ${JSON.stringify(names)} ? ${part === "" ? "true" : differ(part)}`;
  });
  const none = `${SUBRESOURCE} in ${JSON.stringify(imageless)} ? false`;
  return `(${[...(imageless.length > 0 ? [none] : []), ...choices, "true"].join(" :\n    ")})`;
}

/** Whether something of metadata differs that policies look at. */
const METADATA_DIFFERS: Readonly<Record<MetadataReads, readonly string[]>> = {
  nothing: [],
  labels: [differ(".?metadata.?labels")],
  all: [metadataDiffers()],
};

/** Both ways, over all keys that there are: a field that Kubernetes gets later counts too. */
function metadataDiffers(): string {
  const skipped = JSON.stringify(BOOKKEEPING);
  const each = (one: string, other: string) =>
    `${one}.metadata.exists(key, !(key in ${skipped}) && ${one}.metadata[?key] != ${other}.metadata[?key])`;
  return `${each("object", "oldObject")}\n  || ${each("oldObject", "object")}`;
}

/**
 * When the API server has to call the admission webhooks: for everything but an UPDATE of which they have nothing to say. That is one
 * that changes neither pod template nor our annotation nor anything that the policies read or select by, or one of an object that only loses
 * its finalizers. Nothing here can fail for what is in an object: with failurePolicy Fail that would refuse the write.
 */
export function matchConditions(
  reads: PolicyReads,
  kinds: readonly WorkloadKind[] = WORKLOAD_KINDS,
): readonly MatchCondition[] {
  const differences = [
    templateDiffers(kinds),
    differ(`.?metadata.?annotations[?${JSON.stringify(CACHE_ANNOTATION)}]`),
    ...(reads.spec ? [differ(".?spec")] : []),
    ...METADATA_DIFFERS[reads.metadata],
  ];
  return [
    {
      name: "is-not-being-deleted",
      expression: 'request.operation != "UPDATE" || !oldObject.?metadata.?deletionTimestamp.hasValue()',
    },
    {
      name: "changes-what-is-judged",
      expression: ['request.operation != "UPDATE"', ...differences].join("\n  || "),
    },
  ];
}

const BOTH = [false, true];
const COMBINATIONS: readonly PolicyReads[] = BOTH.flatMap((spec) =>
  METADATA_READS.map((metadata) => ({ spec, metadata })),
);

/**
 * For policies that read how much a live admission configuration lets all UPDATEs through; undefined if its conditions are none of
 * ours. Without conditions it lets everything through.
 */
export function passedReads(live: object, kinds: readonly WorkloadKind[] = WORKLOAD_KINDS): PolicyReads | undefined {
  const webhooks = fieldsOf(live)?.["webhooks"];
  const [webhook, ...others] = Array.isArray(webhooks) ? webhooks.map(fieldsOf) : [];
  if (webhook === undefined || others.length > 0) return undefined;
  const conditions = webhook["matchConditions"] ?? [];
  if (Array.isArray(conditions) && conditions.length === 0) return READS_EVERYTHING;
  const found = canonicalJson(conditions);
  return COMBINATIONS.find((reads) => canonicalJson(matchConditions(reads, kinds)) === found);
}
