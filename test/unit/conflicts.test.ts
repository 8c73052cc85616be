import { expect } from "chai";
import fc from "fast-check";
import { acceptRules, type TargetClaim } from "../../core/cacherule/conflicts.ts";
import type { TargetPattern } from "../../core/cacherule/pattern.ts";
import { parseTarget } from "../../core/cacherule/source.ts";

function claim(name: string, target: string, change: Partial<TargetClaim> = {}): TargetClaim {
  return { name, target: parseTarget(target), synced: false, creationTimestamp: "2026-01-01T00:00:00Z", ...change };
}

function acceptedNames(...claims: TargetClaim[]): string[] {
  return [...acceptRules(claims)].flatMap(([name, verdict]) => (verdict.accepted ? [name] : [])).sort();
}

/** The rule of the specification, written down a second time and slowly. */
function conflict(a: TargetPattern, b: TargetPattern): boolean {
  if (a.wildcard !== b.wildcard) return false;
  if (a.path === b.path) return true;
  const contains = (outer: string, inner: string): boolean => outer === "" || inner.startsWith(`${outer}/`);
  return a.wildcard && (contains(a.path, b.path) || contains(b.path, a.path));
}

const target = fc
  .tuple(fc.array(fc.constantFrom("a", "b", "ab"), { maxLength: 3 }), fc.boolean())
  .map(([parts, wildcard]): TargetPattern => ({ path: parts.join("/"), wildcard: wildcard || parts.length === 0 }));
const claims = fc
  .array(
    fc.record({
      target,
      synced: fc.boolean(),
      creationTimestamp: fc.constantFrom("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"),
    }),
    { maxLength: 12 },
  )
  .map((list): TargetClaim[] => list.map((entry, index) => ({ ...entry, name: `r${index}` })));

describe("conflicts between rules", () => {
  const pairs: [string, string, boolean][] = [
    ["nginx", "nginx", true],
    ["nginx", "nginx2", false],
    ["hub/*", "hub/*", true],
    ["hub/*", "hub/library/*", true],
    ["*", "hub/*", true],
    ["*", "*", true],
    ["hub/*", "hubble/*", false],
    ["hub/*", "quay/*", false],
    ["hub/*", "hub/nginx", false],
    ["*", "nginx", false],
    ["hub/*", "hub", false],
  ];
  for (const [first, second, expected] of pairs) {
    it(`${first} and ${second} ${expected ? "conflict" : "live together"}`, () => {
      for (const [older, newer] of [
        [first, second],
        [second, first],
      ] as const) {
        const names = acceptedNames(
          claim("older", older),
          claim("newer", newer, { creationTimestamp: "2026-02-01T00:00:00Z" }),
        );
        expect(names).to.deep.equal(expected ? ["older"] : ["newer", "older"]);
      }
    });
  }

  it("names the winner and the next step", () => {
    const verdict = acceptRules([claim("a", "hub/*"), claim("b", "hub/library/*")]).get("b");
    expect(verdict).to.deep.equal({
      accepted: false,
      reason: "Conflict",
      message:
        'target "hub/library/*" overlaps "hub/*" of CacheRule "a"; delete one of the two rules, or create this one with another target',
      conflictsWith: "a",
    });
    const equal = acceptRules([claim("a", "x"), claim("b", "x")]).get("b");
    expect(equal)
      .to.have.property("message")
      .that.matches(/^target "x" is taken by CacheRule "a";/);
  });

  it("lets the rule win that is served, then the oldest, then the first by name", () => {
    const old = { creationTimestamp: "2025-01-01T00:00:00Z" };
    expect(acceptedNames(claim("z", "x", { synced: true }), claim("a", "x", old))).to.deep.equal(["z"]);
    expect(acceptedNames(claim("z", "x", old), claim("a", "x"))).to.deep.equal(["z"]);
    expect(acceptedNames(claim("b", "x"), claim("a", "x"))).to.deep.equal(["a"]);
    const { creationTimestamp: _none, ...undated } = claim("a", "x");
    expect(acceptedNames(undated, claim("b", "x"))).to.deep.equal(["b"]);
  });

  it("accepts a rule whose only rival is refused itself", () => {
    const first = claim("first", "*", { creationTimestamp: "2025-01-01T00:00:00Z" });
    expect(acceptedNames(first, claim("second", "a/*"), claim("third", "a/b/*"))).to.deep.equal(["first"]);
    expect(acceptedNames(claim("m", "a/*"), claim("n", "a/b/*"), claim("o", "c/*"))).to.deep.equal(["m", "o"]);
  });

  it("decides the same in every order", () => {
    fc.assert(
      fc.property(claims, fc.infiniteStream(fc.nat()), (list, random) => {
        const key = new Map(list.map((entry) => [entry.name, random.next().value as number]));
        const shuffled = [...list].sort((a, b) => (key.get(a.name) ?? 0) - (key.get(b.name) ?? 0));
        const sorted = (of: TargetClaim[]): unknown[] => [...acceptRules(of)].sort(([a], [b]) => (a < b ? -1 : 1));
        expect(sorted(shuffled)).to.deep.equal(sorted(list));
      }),
    );
  });

  it("accepts no two rivals, and refuses nobody without an accepted rival", () => {
    fc.assert(
      fc.property(claims, (list) => {
        const verdicts = acceptRules(list);
        const byName = new Map(list.map((entry) => [entry.name, entry]));
        const winners = list.filter((entry) => verdicts.get(entry.name)?.accepted === true);
        for (const [index, one] of winners.entries()) {
          for (const other of winners.slice(index + 1)) expect(conflict(one.target, other.target)).to.equal(false);
        }
        for (const entry of list) {
          const verdict = verdicts.get(entry.name);
          expect(verdict).to.not.equal(undefined);
          if (verdict === undefined || verdict.accepted) continue;
          const winner = byName.get(verdict.conflictsWith);
          expect(winner !== undefined && winners.includes(winner) && conflict(winner.target, entry.target)).to.equal(
            true,
          );
        }
      }),
    );
  });

  it("never lets a rule that is not served take the place of one that is", () => {
    fc.assert(
      fc.property(claims, (list) => {
        const served = list.filter(
          (entry) => acceptRules(list.filter((e) => e.synced)).get(entry.name)?.accepted === true,
        );
        const verdicts = acceptRules(list);
        return served.every((entry) => verdicts.get(entry.name)?.accepted === true);
      }),
    );
  });
});
