import type { CacheNames } from "../cachenames/types.ts";
import type { ImageReference } from "../image/reference.ts";
import type { MatchSubject } from "./match.ts";
import { mayRefuse, type NamedDecision, policiesByName, shownName } from "./named.ts";
import type { CompiledPolicy } from "./types.ts";

function notKnown(claimed: ImageReference): string {
  return (
    `the Pod says that the image was called ${shownName(claimed)} (annotation entrepot.dev/original-images), and no CacheRule known here says so yet; ` +
    "try again, or remove the annotation if it is out of date"
  );
}

/**
 * What is added to the decision on an image because its Pod says that it was called `claimed`, which no rule known here says. Anybody
 * can write that, so it is never a permission. But a replica that knows more may have renamed the image, and policies for its former
 * name must not be passed by: where one could refuse and is not asked anyway, the image can't be judged here. Where one
 * only lets the name pass, a refusal for want of a policy says what is missing.
 */
export function claimedToo(
  decision: Omit<NamedDecision, "refusedBecause">,
  claimed: ImageReference,
  policies: readonly CompiledPolicy[],
  names: CacheNames,
  subject: MatchSubject,
): Pick<NamedDecision, "unvouchedBecause"> & { readonly unexplained?: string } {
  const behind = policiesByName(policies, claimed, names, subject);
  const others = behind.policies.filter((policy) => !decision.policies.includes(policy));
  const strict = others.find(mayRefuse);
  if (strict !== undefined)
    return { unexplained: `ClusterImagePolicy "${strict.name}" may be for it: ${notKnown(claimed)}` };
  if (behind.refusedBecause !== undefined) return { unexplained: notKnown(claimed) };
  if (decision.vouched || others.length === 0 || decision.unvouchedBecause !== undefined) return {};
  return { unvouchedBecause: notKnown(claimed) };
}
