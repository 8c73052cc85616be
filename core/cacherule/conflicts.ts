import { ancestors, formatTarget, type TargetPattern } from "./pattern.ts";

/** What a rule claims in the name space of its registry, and what decides between rivals. */
export interface TargetClaim {
  readonly name: string;
  readonly target: TargetPattern;
  /** Whether the rule is already served (condition Synced is True): it is not taken away by a newcomer. */
  readonly synced: boolean;
  /** RFC 3339 `metadata.creationTimestamp`; absent sorts last. */
  readonly creationTimestamp?: string;
}

export type Acceptance =
  | { readonly accepted: true }
  | {
      readonly accepted: false;
      readonly reason: "Conflict";
      readonly message: string;
      /** The name of the rule that holds the target. */
      readonly conflictsWith: string;
    };

/** Sorts after every RFC 3339 timestamp. */
const NEVER = "~";

/** Code units, not locale: the order must be the same in every process. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Who goes first: rules already served, then the oldest, then by name. */
function precedence(a: TargetClaim, b: TargetClaim): number {
  return (
    Number(b.synced) - Number(a.synced) ||
    compare(a.creationTimestamp ?? NEVER, b.creationTimestamp ?? NEVER) ||
    compare(a.name, b.name)
  );
}

/** The targets given away so far, so that a rival is found in time independent of their number. */
class Ledger {
  readonly #exact = new Map<string, TargetClaim>();
  readonly #wildcards = new Map<string, TargetClaim>();
  /** Path → the first wildcard that was accepted somewhere below it. */
  readonly #below = new Map<string, TargetClaim>();

  rivalOf(target: TargetPattern): TargetClaim | undefined {
    if (!target.wildcard) return this.#exact.get(target.path);
    for (const path of [target.path, ...ancestors(target.path)]) {
      const holder = this.#wildcards.get(path);
      if (holder !== undefined) return holder;
    }
    return this.#below.get(target.path);
  }

  enter(claim: TargetClaim): void {
    if (!claim.target.wildcard) {
      this.#exact.set(claim.target.path, claim);
      return;
    }
    this.#wildcards.set(claim.target.path, claim);
    for (const path of ancestors(claim.target.path)) if (!this.#below.has(path)) this.#below.set(path, claim);
  }
}

function refusal(claim: TargetClaim, winner: TargetClaim): Acceptance {
  const mine = formatTarget(claim.target);
  const theirs = formatTarget(winner.target);
  const relation = mine === theirs ? "is taken by" : `overlaps "${theirs}" of`;
  return {
    accepted: false,
    reason: "Conflict",
    message: `target "${mine}" ${relation} CacheRule "${winner.name}"; delete one of the two rules, or create this one with another target`,
    conflictsWith: winner.name,
  };
}

/**
 * Decides which rules of ONE CacheRegistry are served. Equal targets conflict, and so do wildcards of which one contains the other;
 * an exact target inside a wildcard is allowed and wins there. Of rivals the one already served wins, else the oldest, else the first
 * by name; a rule refused only because of another that is refused itself is accepted. The result does not depend on the order of
 * `claims`, whose names must be unique. Leave out rules that are being deleted.
 */
export function acceptRules(claims: readonly TargetClaim[]): ReadonlyMap<string, Acceptance> {
  const ledger = new Ledger();
  const verdicts = new Map<string, Acceptance>();
  for (const claim of [...claims].sort(precedence)) {
    const winner = ledger.rivalOf(claim.target);
    if (winner === undefined) ledger.enter(claim);
    verdicts.set(claim.name, winner === undefined ? { accepted: true } : refusal(claim, winner));
  }
  return verdicts;
}
