import type {
  AuthorityMatch,
  AuthorityMatches,
  AuthorityOutcome,
  CompiledAuthority,
  CompiledPolicy,
  SignedAuthority,
} from "./types.ts";

/** What the authorities of one policy say of one image. `undecided` refuses like `fail`, but is never remembered. */
export type PolicyVerdict =
  | { readonly kind: "pass"; readonly matches: AuthorityMatches }
  | { readonly kind: "fail" | "undecided"; readonly reasons: readonly string[] };

/** The authorities that must be looked up in a registry. */
export function signedAuthorities(policy: CompiledPolicy): readonly SignedAuthority[] {
  return policy.authorities.filter((authority) => authority.kind === "key" || authority.kind === "keyless");
}

/** Whether deciding by the policy takes an engine of CUE, Rego or CEL. */
export function needsEngine(policy: CompiledPolicy): boolean {
  const evaluates = signedAuthorities(policy).some(({ attestations }) =>
    attestations.some(({ evaluator }) => evaluator !== undefined),
  );
  return policy.condition !== undefined || evaluates;
}

/**
 * The verdict of the authorities if it needs no registry: a problem refuses, a static pass is enough unless `spec.policy` must see
 * what the others say. undefined: somebody has to be asked.
 */
export function staticVerdict(policy: CompiledPolicy): PolicyVerdict | undefined {
  if (policy.problem !== undefined) {
    return { kind: "undecided", reasons: [`the policy cannot be evaluated: ${policy.problem}`] };
  }
  if (policy.condition?.fetchConfigFile === true) return undefined;
  const passes = policy.authorities.some((authority) => authority.kind === "static" && authority.action === "pass");
  const settled = signedAuthorities(policy).length === 0 || (passes && policy.condition === undefined);
  return settled ? conclude(policy, "", new Map()) : undefined;
}

function signedReason(authority: SignedAuthority, outcome: AuthorityOutcome | undefined, image: string): string {
  const message = outcome === undefined || outcome.kind === "matched" ? "not looked up" : outcome.message;
  if (outcome?.kind !== "matched" && outcome?.verified === true) return message;
  const what = authority.attestations.length > 0 ? "attestation" : "signature";
  return `${what} ${authority.kind} validation failed for authority ${authority.name} for ${image}: ${message}`;
}

function reason(authority: CompiledAuthority, outcome: AuthorityOutcome | undefined, image: string): string {
  switch (authority.kind) {
    case "static":
      return `disallowed by static policy: ${authority.message}`;
    case "unusable":
      return `constructing checkOpts for ${authority.name}: ${authority.reason}`;
    case "key":
    case "keyless":
      return signedReason(authority, outcome, image);
  }
}

function matchOf(
  authority: CompiledAuthority,
  outcomes: ReadonlyMap<number, AuthorityOutcome>,
): AuthorityMatch | undefined {
  if (authority.kind === "static") return authority.action === "pass" ? { static: true } : undefined;
  const outcome = outcomes.get(authority.index);
  return outcome?.kind === "matched" ? outcome.match : undefined;
}

/** Two authorities of one name are one entry: what either found counts. */
function joined(first: AuthorityMatch | undefined, second: AuthorityMatch): AuthorityMatch {
  if (first === undefined) return second;
  const signatures = [...(first.signatures ?? []), ...(second.signatures ?? [])];
  const attestations = { ...first.attestations, ...second.attestations };
  return {
    ...(signatures.length > 0 && { signatures }),
    ...(Object.keys(attestations).length > 0 && { attestations }),
    ...((first.static === true || second.static === true) && { static: true }),
  };
}

/**
 * The authorities' part of a policy: it passes if at least one authority matched (the API's semantics: authorities are ORed), or if
 * it has none and `spec.policy` alone decides. `outcomes` holds what was found for the signed authorities, by index (names may
 * repeat); `image` is the canonical name for messages. Where `spec.policy` judges what was found, all of it must have been found
 * out: a policy may forbid as well as demand.
 */
export function conclude(
  policy: CompiledPolicy,
  image: string,
  outcomes: ReadonlyMap<number, AuthorityOutcome>,
): PolicyVerdict {
  const matches = new Map<string, AuthorityMatch>(); // names are users' words: __proto__ is one
  for (const authority of policy.authorities) {
    const match = matchOf(authority, outcomes);
    if (match !== undefined) matches.set(authority.name, joined(matches.get(authority.name), match));
  }
  const undecided = [...outcomes.values()].some((outcome) => outcome.kind === "undecided");
  const unknown = undecided || policy.authorities.some(({ kind }) => kind === "unusable");
  const enough = matches.size > 0 || policy.authorities.length === 0;
  if (enough && !(unknown && policy.condition !== undefined))
    return { kind: "pass", matches: Object.fromEntries(matches) };
  const failed = policy.authorities.filter((authority) => matchOf(authority, outcomes) === undefined);
  return {
    kind: undecided || enough ? "undecided" : "fail",
    reasons: failed.map((authority) => reason(authority, outcomes.get(authority.index), image)),
  };
}
