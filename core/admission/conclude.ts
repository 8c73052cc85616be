import { canonicalName, type Digest, type ImageReference } from "../image/reference.ts";
import type { PolicyVerdict } from "../policy/evaluate.ts";
import { asWarnings, type FieldErrors, formatErrors, invalidValue } from "../policy/fielderror.ts";
import { shownName } from "../policy/named.ts";
import type { CompiledPolicy } from "../policy/types.ts";
import type { AdmissionConfig } from "./config.ts";
import type { ImageTask, InvalidImage } from "./plan.ts";

/** What came of one image: its digest where it was needed, and each policy's verdict. */
export interface JudgedImage {
  readonly task: ImageTask;
  readonly digest?: Digest;
  readonly verdicts: readonly { readonly policy: CompiledPolicy; readonly verdict: PolicyVerdict }[];
}

/** What the user is told. Without `errors` the object is admitted. */
export interface Conclusion {
  readonly errors?: string;
  readonly warnings: readonly string[];
}

/** As policy-controller names it: a digest as its author wrote it, a tag in full with the digest behind it. */
function written(reference: ImageReference, digest: Digest | undefined): string {
  if (reference.digest !== undefined) return reference.asWritten;
  return digest === undefined ? canonicalName(reference) : `${canonicalName(reference)}@${digest}`;
}

/** Of a name in a cache, what it stands for besides: ` (docker.io/acme/app)`. */
export function alsoNamed({ upstreams }: ImageTask): string {
  return upstreams.length === 0 ? "" : ` (${upstreams.map(shownName).join(", ")})`;
}

function named(task: ImageTask, digest: Digest | undefined): string {
  return `${written(task.reference, digest)}${alsoNamed(task)}`;
}

/** `<message>: <field>` and, on the next line, the image and why: the grammar that policy-controller's users grep for. */
function problem(message: string, field: string, details: string): FieldErrors {
  return [{ level: "error", message, paths: [field], details }];
}

function withoutPolicy({ task }: JudgedImage, { noMatchPolicy }: AdmissionConfig): FieldErrors {
  if (noMatchPolicy === "allow") return [];
  const { unvouchedBecause: because } = task;
  const details = [named(task, undefined), ...(because === undefined ? [] : [because])].join(" ");
  const errors = problem("no matching policies", task.field, details);
  return noMatchPolicy === "warn" ? asWarnings(errors) : errors;
}

function failures({ task, digest, verdicts }: JudgedImage): FieldErrors {
  return verdicts.flatMap(({ policy, verdict }) => {
    if (verdict.kind === "pass") return [];
    const details = [named(task, digest), ...verdict.reasons].join(" ");
    const errors = problem(`failed policy: ${policy.name}`, task.field, details);
    return policy.mode === "warn" ? asWarnings(errors) : errors;
  });
}

/** Said of an image that may be one that policies are for, which are not asked. */
function unexplained({ task, digest }: JudgedImage): FieldErrors {
  const { field, unexplained: why } = task;
  return why === undefined ? [] : problem("unexplained name", field, `${named(task, digest)} ${why}`);
}

/** A verified tag that the node would look up again is verified for nothing: another digest may stand there by then. */
function unpinned({ task, digest, verdicts }: JudgedImage): FieldErrors {
  const verified = digest !== undefined && task.reference.digest === undefined;
  const enforced = verdicts.some(({ policy }) => policy.mode === "enforce");
  return verified && enforced ? invalidValue(`${task.reference.asWritten} must be an image digest`, task.field) : [];
}

/**
 * The answer to an object from what came of its images. Every image needs a policy that counts as permission (unless
 * `no-match-policy` says otherwise) and every policy that matches it must pass; what fails under a policy in mode `warn` is a warning. `mustPin`: images whose
 * digest was verified have to name it.
 */
export function conclude(
  images: readonly JudgedImage[],
  invalid: readonly InvalidImage[],
  config: AdmissionConfig,
  mustPin: boolean,
): Conclusion {
  const errors = [
    ...invalid.flatMap(({ field, image, problem: what = "could not parse reference", why }) =>
      problem(`${what}: ${image}`, field, why),
    ),
    ...images.flatMap((image) => [...failures(image), ...(image.task.vouched ? [] : withoutPolicy(image, config))]),
    ...images.flatMap(unexplained),
    ...(mustPin ? images.flatMap(unpinned) : []),
  ];
  const denial = formatErrors(errors, "error");
  const warning = formatErrors(errors, "warning");
  return { warnings: warning === undefined ? [] : [warning], ...(denial !== undefined && { errors: denial }) };
}
