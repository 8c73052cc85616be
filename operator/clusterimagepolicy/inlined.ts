import { type PolicyNeeds, shownUrl } from "../../core/policy/needs.ts";
import type { Resolution } from "../../core/policy/resolved.ts";
import { type ConditionType, REASON, type Reason } from "../../crds/index.ts";

/** One thing that a policy needs and that was not had when last tried. */
export interface Shortfall {
  readonly condition: ConditionType & ("KeysInlined" | "PoliciesInlined");
  readonly reason: Reason;
  /** Which it is, why, and what is enforced meanwhile. */
  readonly message: string;
  /** Nothing is there of it; else the last good value is enforced. */
  readonly isMissing: boolean;
}

/** What is wrong with what was resolved for a policy, keys first. */
export function shortfalls(needs: PolicyNeeds, resolution: Resolution | undefined): readonly Shortfall[] {
  if (resolution === undefined) return [];
  const { keys, documents, problems, fetchedAt } = resolution;
  const ofKeys = needs.kms.flatMap((uri): readonly Shortfall[] => {
    const isMissing = keys[uri] === undefined;
    const problem = problems[uri] ?? (isMissing ? "it has not been fetched yet" : undefined);
    if (problem === undefined) return [];
    const meanwhile = isMissing
      ? "no image passes by it until then"
      : `the key fetched at ${fetchedAt[uri]} is still enforced`;
    const message = `the public key of ${uri} was not fetched: ${problem}; ${meanwhile}`;
    return [{ condition: "KeysInlined", reason: REASON.InliningKeysFailed, message, isMissing }];
  });
  const ofDocuments = needs.documents.flatMap(({ url, sha256sum }): readonly Shortfall[] => {
    if (documents[sha256sum] !== undefined) return [];
    const problem = problems[url] ?? "it has not been fetched yet";
    const message = `the policy at ${shownUrl(url)} was not fetched: ${problem}; what it decides is refused until then`;
    return [{ condition: "PoliciesInlined", reason: REASON.InliningPoliciesFailed, message, isMissing: true }];
  });
  return [...ofKeys, ...ofDocuments];
}

const SHOWN = 5;

/** Several shortfalls in one message. */
export function together(found: readonly Shortfall[]): string {
  const more = found.length > SHOWN ? [`and ${found.length - SHOWN} more`] : [];
  return [...found.slice(0, SHOWN).map(({ message }) => message), ...more].join("; ");
}
