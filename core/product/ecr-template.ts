import { createHash } from "node:crypto";
import type { CacheRuleSpec } from "../../crds/index.ts";
import { type EcrRequest, ecrPrefix } from "./ecr.ts";
import type { Difference } from "./step.ts";

export type EcrTemplateSpec = NonNullable<
  NonNullable<NonNullable<CacheRuleSpec["options"]>["ecr"]>["repositoryTemplate"]
>;

/** A repository creation template as it is to be: every field set, empty where there is nothing, so that an update clears it. */
export interface EcrTemplate {
  readonly prefix: string;
  readonly description: string;
  readonly encryptionType: "AES256" | "KMS" | "KMS_DSSE";
  readonly kmsKey: string;
  readonly imageTagMutability: "MUTABLE" | "IMMUTABLE";
  readonly lifecyclePolicy: string;
  readonly repositoryPolicy: string;
  readonly resourceTags: readonly { readonly Key: string; readonly Value: string }[];
  readonly customRoleArn: string;
}

/** A template as ECR describes it. */
export interface FoundEcrTemplate {
  readonly prefix?: string | undefined;
  readonly description?: string | undefined;
  readonly encryptionConfiguration?:
    | { readonly encryptionType?: string | undefined; readonly kmsKey?: string | undefined }
    | undefined;
  readonly imageTagMutability?: string | undefined;
  readonly imageTagMutabilityExclusionFilters?: readonly unknown[] | undefined;
  readonly lifecyclePolicy?: string | undefined;
  readonly repositoryPolicy?: string | undefined;
  readonly resourceTags?:
    | readonly { readonly Key?: string | undefined; readonly Value?: string | undefined }[]
    | undefined;
  readonly customRoleArn?: string | undefined;
  readonly appliedFor?: readonly string[] | undefined;
}

const DESCRIPTION_LIMIT = 256;
const LONGEST_NAME = 64;
const KMS_KEY = /^arn:aws[a-z0-9-]*:kms:[a-z0-9-]+:[0-9]{12}:key\/[a-z0-9-]+$/; // KmsKeyForRepositoryCreationTemplate

/** The words at the end of a template's description by which it is known to be this CacheRule's. ECR has no other place for a mark. */
export function templateMark(ruleName: string): string {
  const hash = createHash("sha256").update(ruleName).digest("hex").slice(0, 8);
  const name = ruleName.length <= LONGEST_NAME ? ruleName : `${ruleName.slice(0, LONGEST_NAME - 9)}-${hash}`;
  return `(Entrepot: CacheRule ${name})`;
}

/** Whether a template was made for the CacheRule of that name. */
export function isOurTemplate(found: FoundEcrTemplate, ruleName: string): boolean {
  return found.description?.endsWith(templateMark(ruleName)) === true;
}

function described(text: string, mark: string): string {
  const room = DESCRIPTION_LIMIT - mark.length - 1;
  const shown = text.length <= room ? text : `${text.slice(0, room - 3).trimEnd()}...`;
  return shown === "" ? mark : `${shown} ${mark}`;
}

/** The template that a rule declares, if it declares one. */
export function desiredEcrTemplate({ rule, mapping }: EcrRequest): EcrTemplate | undefined {
  const spec = rule.spec.options?.ecr?.repositoryTemplate;
  if (spec === undefined) return undefined;
  return {
    prefix: ecrPrefix(mapping.target),
    description: described(spec.description ?? "", templateMark(rule.metadata.name)),
    encryptionType: spec.encryption?.type ?? "AES256",
    kmsKey: spec.encryption?.kmsKey ?? "",
    imageTagMutability: spec.imageTagMutability ?? "MUTABLE",
    lifecyclePolicy: spec.lifecyclePolicy ?? "",
    repositoryPolicy: spec.repositoryPolicy ?? "",
    resourceTags: Object.entries(spec.resourceTags ?? {}).map(([Key, Value]) => ({ Key, Value })),
    customRoleArn: spec.customRoleArn ?? "",
  };
}

/** What is wrong with a declared template that ECR would refuse; undefined when nothing is. */
export function templateProblem(spec: EcrTemplateSpec | undefined): string | undefined {
  const at = "options.ecr.repositoryTemplate";
  const { kmsKey, type } = spec?.encryption ?? {};
  if (kmsKey !== undefined && type === "AES256")
    return `${at}.encryption has a kmsKey, which AES256 does not use: write type KMS, or remove it`;
  if (kmsKey !== undefined && !KMS_KEY.test(kmsKey))
    return `${at}.encryption.kmsKey must be the ARN of a key (…:key/…), not an alias`;
  for (const field of ["lifecyclePolicy", "repositoryPolicy"] as const) {
    const text = spec?.[field];
    if (text !== undefined && text !== "" && canonical(text) === undefined) return `${at}.${field} is no JSON object`;
  }
  return undefined;
}

/** A policy with its keys in order and lists of one thing as that thing, which is how IAM's grammar lets both be written. */
function ordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 1 ? ordered(value[0]) : value.map(ordered);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, of]) => [key, ordered(of)]));
}

/** A policy's text in one spelling; undefined when it is no JSON object. */
function canonical(text: string): string | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? JSON.stringify(ordered(value)) : undefined;
  } catch {
    return undefined;
  }
}

function policiesDiffer(wanted: string, found: string | undefined): boolean {
  return (canonical(wanted) ?? wanted.trim()) !== (canonical(found ?? "") ?? (found ?? "").trim());
}

function tagsDiffer(wanted: EcrTemplate["resourceTags"], found: FoundEcrTemplate["resourceTags"]): boolean {
  const text = (tags: FoundEcrTemplate["resourceTags"]) =>
    JSON.stringify((tags ?? []).map(({ Key, Value }) => [Key ?? "", Value ?? ""]).sort());
  return text(wanted) !== text(found);
}

function differing(wanted: EcrTemplate, found: FoundEcrTemplate): readonly string[] {
  const { encryptionType = "AES256", kmsKey = "" } = found.encryptionConfiguration ?? {};
  const fields: readonly (readonly [string, boolean])[] = [
    ["appliedFor", found.appliedFor?.includes("PULL_THROUGH_CACHE") !== true],
    ["encryptionType", encryptionType.toUpperCase() !== wanted.encryptionType],
    ["kmsKey", wanted.kmsKey !== "" && kmsKey !== wanted.kmsKey], // ECR fills in the account's own key
    ["imageTagMutability", (found.imageTagMutability ?? "MUTABLE").toUpperCase() !== wanted.imageTagMutability],
    ["lifecyclePolicy", policiesDiffer(wanted.lifecyclePolicy, found.lifecyclePolicy)],
    ["repositoryPolicy", policiesDiffer(wanted.repositoryPolicy, found.repositoryPolicy)],
    ["resourceTags", tagsDiffer(wanted.resourceTags, found.resourceTags)],
    ["customRoleArn", (found.customRoleArn ?? "") !== wanted.customRoleArn],
  ];
  return fields.filter(([, differs]) => differs).map(([field]) => field);
}

/**
 * What differs between the template that a rule declares (undefined: none) and the one of its prefix in ECR (undefined: none). A
 * template of somebody else that says the same is as good as ours; one that says anything else is never written to.
 */
export function compareEcrTemplate(
  wanted: EcrTemplate | undefined,
  found: FoundEcrTemplate | undefined,
  ruleName: string,
): readonly Difference[] {
  const ours = found !== undefined && isOurTemplate(found, ruleName);
  if (wanted === undefined) return ours ? [{ field: "repositoryTemplate", correctable: true }] : [];
  if (found === undefined) return [{ field: "repositoryTemplate", correctable: true }];
  const fields = differing(wanted, found).map((field) => `repositoryTemplate.${field}`);
  if (!ours) return fields.map((field) => ({ field: `${field} (not made by Entrepot)`, correctable: false }));
  const description = found.description === wanted.description ? [] : ["repositoryTemplate.description"];
  return [...fields, ...description].map((field) => ({ field, correctable: true }));
}
