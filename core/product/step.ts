import type { AdoptionPolicy, Reason } from "../../crds/index.ts";

/** A field of a product's rule that is not as declared. */
export interface Difference {
  /** As the product calls it, e.g. `credentialSetResourceId`. */
  readonly field: string;
  /** Whether the product can change it in place. */
  readonly correctable: boolean;
}

/** A rule as its registry's product has it, compared with what is declared. */
export interface RemoteRule {
  /** As `RemoteIdentity.remoteId`. */
  readonly id: string;
  /** When the product says it was made, in whatever spelling: with `id` it tells a rule from its successor of the same name. */
  readonly createdAt?: string;
  /** The product's own mark of who made it (a label), where it has one: `ours` means this very CacheRule. */
  readonly mark?: "ours" | "foreign";
  readonly differences: readonly Difference[];
  /** `changing`: a long-running operation is under way; `failed`: it ended badly. */
  readonly state: "settled" | "changing" | "failed";
  /** For people, when `state` is `failed`. */
  readonly problem?: string;
}

/** What a CacheRule's status remembers of the rule in the product. */
export interface RemoteIdentity {
  /** Written before the rule is made, so that a lost answer to its creation makes nobody else's rule of it. */
  readonly remoteId?: string;
  /** Absent until the rule was seen. */
  readonly remoteCreationTime?: string;
}

/** What is declared about rules that are not as they should be; the API's defaults resolved. */
export interface RemotePolicy {
  readonly adoption: AdoptionPolicy;
  readonly drift: "Correct" | "Report";
}

/** What to do about a rule in its registry's product. `drift` names what was found to differ, `*` for everything. */
export type Step =
  | { readonly do: "nothing"; readonly adopted: boolean }
  | { readonly do: "create"; readonly drift: readonly string[] }
  | { readonly do: "update"; readonly drift: readonly string[] }
  | { readonly do: "wait" }
  | { readonly do: "report"; readonly reason: Reason; readonly message: string; readonly drift: readonly string[] };

const GONE = ["*"] as const;

/** Whether the rule that was found is the one that the CacheRule made or took over. ARM ids differ in case between answers. */
export function isOurs(found: RemoteRule, known: RemoteIdentity): boolean {
  if (found.mark !== undefined) return found.mark === "ours";
  if (known.remoteId?.toLowerCase() !== found.id.toLowerCase()) return false;
  const { remoteCreationTime } = known;
  if (remoteCreationTime !== undefined && found.createdAt !== undefined) return remoteCreationTime === found.createdAt;
  // About to be made when status was written: then it says what we said.
  return remoteCreationTime !== undefined || found.differences.length === 0;
}

function fieldsOf(found: RemoteRule): readonly string[] {
  return found.differences.map(({ field }) => field);
}

function ofAnother(found: RemoteRule, adoption: AdoptionPolicy): Step {
  const fields = fieldsOf(found);
  if (fields.length === 0 && adoption === "IfIdentical" && found.mark === undefined) {
    return found.state === "changing" ? { do: "wait" } : { do: "nothing", adopted: true };
  }
  const marked = found.mark !== undefined;
  const whose = marked ? "which is marked as another's" : "which Entrepot did not make";
  const takeover = [
    ...(marked ? ["take the labels managed-by and cacherule-uid away there"] : []),
    ...(adoption === "Never" ? ["set adoptionPolicy: IfIdentical"] : []),
  ].join(" and ");
  const message =
    fields.length === 0
      ? `the registry already has "${found.id}", ${whose}; ${takeover} to take it over, or delete it there, or give this rule another name`
      : `the registry already has "${found.id}", ${whose} and ${marked ? "" : "which "}differs in ${fields.join(", ")}; delete it there, or give this rule another name; it is never overwritten`;
  return { do: "report", reason: "ForeignRule", message, drift: [] };
}

function ofOurs(found: RemoteRule, drift: RemotePolicy["drift"]): Step {
  if (found.state === "changing") return { do: "wait" };
  const fields = fieldsOf(found);
  const report = (reason: Reason, message: string): Step => ({ do: "report", reason, message, drift: fields });
  const fixed = found.differences.filter(({ correctable }) => !correctable).map(({ field }) => field);
  if (fixed.length > 0) {
    return report(
      "ImmutableChange",
      `"${found.id}" was changed in the registry (${fixed.join(", ")}) and the product can't change it back; delete it there and Entrepot makes it again, or change this rule`,
    );
  }
  if (fields.length > 0 && drift === "Report") {
    return report(
      "Drifted",
      `"${found.id}" differs in ${fields.join(", ")} and driftPolicy is Report; change it there, or set driftPolicy: Correct`,
    );
  }
  if (fields.length > 0) return { do: "update", drift: fields };
  if (found.state === "failed") {
    return report("RemoteError", `the registry could not make "${found.id}": ${found.problem ?? "no reason given"}`);
  }
  return { do: "nothing", adopted: false };
}

/**
 * What to do about a rule, from what its registry's product has (undefined: nothing of that name). A rule that is not ours is never
 * written to; one that is gone is made again unless drift is only reported.
 */
export function decideStep(found: RemoteRule | undefined, known: RemoteIdentity, policy: RemotePolicy): Step {
  if (found !== undefined)
    return isOurs(found, known) ? ofOurs(found, policy.drift) : ofAnother(found, policy.adoption);
  const existed = known.remoteId !== undefined && known.remoteCreationTime !== undefined;
  if (existed && policy.drift === "Report") {
    const message = `"${known.remoteId}" is gone from the registry and driftPolicy is Report; make it there, or set driftPolicy: Correct`;
    return { do: "report", reason: "Drifted", message, drift: GONE };
  }
  return { do: "create", drift: existed ? GONE : [] };
}
