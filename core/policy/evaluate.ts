import type { VerificationRecord } from "../cache/record.ts";
import type { AuthorityOutcome, CompiledAuthority, CompiledPolicy, KeyAuthority, SignatureFact } from "./types.ts";

/** What one policy says of one image. `undecided` refuses like `fail`, but is never remembered. */
export type PolicyVerdict =
  | { readonly kind: "pass"; readonly facts: VerificationRecord["authorities"] }
  | { readonly kind: "fail" | "undecided"; readonly reasons: readonly string[] };

/** The verdict of the authorities that need no registry, if it settles the policy: a problem refuses, a static pass is enough. */
export function staticVerdict(policy: CompiledPolicy): PolicyVerdict | undefined {
  if (policy.problem !== undefined) {
    return { kind: "undecided", reasons: [`the policy cannot be evaluated: ${policy.problem}`] };
  }
  if (policy.authorities.some((authority) => authority.kind === "static" && authority.action === "pass")) {
    return { kind: "pass", facts: {} };
  }
  if (keyAuthorities(policy).length > 0) return undefined;
  return conclude(policy, "", new Map());
}

/** The authorities that must be looked up in a registry. */
export function keyAuthorities(policy: CompiledPolicy): readonly KeyAuthority[] {
  return policy.authorities.filter((authority) => authority.kind === "key");
}

function reason(authority: CompiledAuthority, outcome: AuthorityOutcome | undefined, image: string): string {
  switch (authority.kind) {
    case "static":
      return `disallowed by static policy: ${authority.message}`;
    case "unsupported":
      return `authority ${authority.name}: ${authority.reason}`;
    case "key": {
      const message = outcome === undefined || outcome.kind === "matched" ? "not looked up" : outcome.message;
      return `signature key validation failed for authority ${authority.name} for ${image}: ${message}`;
    }
  }
}

/**
 * A policy passes if at least one authority matched (the API's semantics: authorities are ORed). `outcomes` holds what the
 * registries gave for the key authorities, by index (names may repeat); `image` is the canonical name for messages.
 */
export function conclude(
  policy: CompiledPolicy,
  image: string,
  outcomes: ReadonlyMap<number, AuthorityOutcome>,
): PolicyVerdict {
  const facts: Record<string, readonly SignatureFact[]> = {};
  for (const { name, index } of policy.authorities) {
    const outcome = outcomes.get(index);
    if (outcome?.kind === "matched") facts[name] = [...(facts[name] ?? []), ...outcome.signatures];
  }
  if (Object.keys(facts).length > 0) return { kind: "pass", facts };
  const undecided = [...outcomes.values()].some((outcome) => outcome.kind === "undecided");
  return {
    kind: undecided ? "undecided" : "fail",
    reasons: policy.authorities.map((authority) => reason(authority, outcomes.get(authority.index), image)),
  };
}
