import { expect } from "chai";
import fc from "fast-check";
import { conclude } from "../../core/admission/conclude.ts";
import { readConfig } from "../../core/admission/config.ts";
import { planAdmission } from "../../core/admission/plan.ts";
import type { CacheNames, NamedRuleView } from "../../core/cachenames/types.ts";
import { type ImageReference, parseReference, repositoryName } from "../../core/image/reference.ts";
import { type PolicyVerdict, staticVerdict } from "../../core/policy/evaluate.ts";
import { policiesFor } from "../../core/policy/match.ts";
import { refusalByName } from "../../core/policy/named.ts";
import type { CompiledPolicy } from "../../core/policy/types.ts";
import { DIGEST, PEM, pod, podKind, policy, request } from "../support/admission.ts";
import { namedRule } from "../support/named-rules.ts";
import { namesOf } from "../support/rewrite-samples.ts";

const { config: CONFIG } = readConfig({});
const POD = { group: "", version: "v1", resource: "pods", labels: {} };

/** A policy, and whether what it looks for is there: signatures are of the image, whatever it is called. */
interface Sample {
  readonly policy: CompiledPolicy;
  readonly signed: boolean;
}

const HOSTS = { main: "localhost:30500", vendor: "vendor.example.com" } as const;
const ALL_HOSTS = ["docker.io", "ghcr.io", HOSTS.main, HOSTS.vendor];
const ALL_PATHS = ["a", "a/a", "a/b"];
const AUTHORITIES = {
  key: [{ name: "k", key: { data: PEM } }],
  pass: [{ static: { action: "pass" } }],
  fail: [{ static: { action: "fail" } }],
  none: [],
  either: [{ static: { action: "pass" } }, { name: "k", key: { data: PEM } }],
} as const;

/** Every policy there is: reading a key takes longer than all that is tried here. */
const SAMPLES: readonly Sample[] = Object.entries(AUTHORITIES).flatMap(([kind, authorities]) =>
  ["enforce", "warn"].flatMap((mode) =>
    ALL_HOSTS.flatMap((registry) =>
      ["**", "a/**", "a/a"].flatMap((below) =>
        [true, false].map((signed): Sample => {
          const name = `${kind}-${mode}-${registry}-${below}-${signed}`;
          const spec = { images: [{ glob: `${registry}/${below}` }], authorities: [...authorities], mode };
          return { policy: policy(spec, {}, { name, uid: name }), signed };
        }),
      ),
    ),
  ),
);

const host = fc.constantFrom(...ALL_HOSTS);
const path = fc.constantFrom(...ALL_PATHS);
const seldom = fc.nat(3).map((n) => n === 0);
const rule = fc
  .record({
    host,
    source: path,
    target: path,
    wild: fc.boolean(),
    registry: fc.constantFrom("main", "vendor"),
    sharesHost: fc.boolean(),
    notReady: seldom,
    suspend: seldom,
    id: fc.nat(1_000_000),
  })
  .map(({ host: registry, source, target, wild, registry: by, sharesHost, notReady, suspend, id }): NamedRuleView => {
    const end = wild ? "/*" : "";
    const at = sharesHost ? HOSTS.main : HOSTS[by];
    const change = { name: `r${id}`, registry: by, host: at, suspend, ...(notReady && { notReady: "why" }) };
    return namedRule(`${registry}/${source}${end}`, `${target}${end}`, change);
  });

const any = fc.constantFrom(...SAMPLES);
const passing = fc.constantFrom(...SAMPLES.filter((one) => verdictOf(one).kind === "pass"));
/** Half of them lets much through: where nearly everything is refused, little is seen. */
const samples = fc.oneof(
  ...[any, fc.oneof(passing, passing, any)].map((one) => fc.array(one, { minLength: 1, maxLength: 5 })),
);
const anyName = fc.tuple(host, path).map((parts) => parts.join("/"));

/** Rules, and a name that one of them speaks of, or any. */
const world = fc.array(rule, { minLength: 2, maxLength: 5 }).chain((some) => {
  const spokenOf = some.flatMap(({ spec, status }) => [spec.source, `${status?.pullPrefix}${ending(spec.target)}`]);
  const oneOfThem = fc.tuple(fc.constantFrom(...spokenOf), fc.constantFrom("a", "b"));
  const named = oneOfThem.map(([name, below]) => name.replace("*", below));
  return fc.tuple(fc.constant(some), fc.oneof(anyName, named));
});

const ending = (target: string) => (target.endsWith("/*") ? "/*" : "");

function verdictOf({ policy: one, signed }: Sample): PolicyVerdict {
  return staticVerdict(one) ?? (signed ? { kind: "pass", matches: {} } : { kind: "fail", reasons: ["not signed"] });
}

/** What is said of a Pod with this image, as the webhook says it. */
function concluded(written: string, all: readonly Sample[], names: CacheNames) {
  const policies = all.map((one) => one.policy);
  const { tasks, invalid } = planAdmission(request(pod(written)), podKind, policies, names);
  const images = tasks.map((task) => ({
    task,
    verdicts: all
      .filter((one) => task.policies.includes(one.policy))
      .map((one) => ({ policy: one.policy, verdict: verdictOf(one) })),
  }));
  return conclude(images, invalid, CONFIG, true);
}

const admitted = (...asked: Parameters<typeof concluded>) => concluded(...asked).errors === undefined;

/** All names that CacheRules say are behind one. */
function behind(written: ImageReference, names: CacheNames): readonly ImageReference[] {
  const all = [written];
  for (const name of all) {
    const origins = names.originsOf(name).map(({ reference }) => reference);
    const known = new Set(all.map(repositoryName));
    all.push(...origins.filter((origin) => !known.has(repositoryName(origin))));
  }
  return all.slice(1);
}

const NONE = namesOf([]);

/** Tries many worlds, of which so many must have been of the kind that the property is about. */
function holds(least: number, check: (names: CacheNames, all: readonly Sample[], written: string) => boolean): void {
  let cases = 0;
  fc.assert(
    fc.property(world, samples, ([some, name], all) => {
      if (check(namesOf(some), [...new Set(all)], `${name}:v1@${DIGEST}`)) cases++;
    }),
    { numRuns: 1_000 },
  );
  expect(cases).to.be.greaterThan(least);
}

const policiesOf = (all: readonly Sample[]) => all.map((one) => one.policy);

describe("CacheRules and admission, whatever the rules, policies and images", () => {
  it("a rule changes nothing for an image that is no cached name", () => {
    holds(100, (names, all, written) => {
      if (names.originOf(parseReference(written)) !== undefined) return false;
      expect(concluded(written, all, names)).to.deep.equal(concluded(written, all, NONE));
      return true;
    });
  });

  it("an image under a cached name is admitted only if every policy for each of its names passes", () => {
    holds(5, (names, all, written) => {
      const reference = parseReference(written);
      if (names.originOf(reference) === undefined || !admitted(written, all, names)) return false;
      const every = [reference, ...behind(reference, names)];
      const required = every.flatMap((name) => policiesFor(policiesOf(all), name, POD));
      for (const one of all.filter(({ policy: { mode } }) => mode === "enforce"))
        if (required.includes(one.policy)) expect(verdictOf(one).kind).to.equal("pass");
      return true;
    });
  });

  it("a rule admits what was refused only for what was found out about the image, or where nobody can push", () => {
    holds(5, (names, all, written) => {
      if (!admitted(written, all, names) || admitted(written, all, NONE)) return false;
      const reference = parseReference(written);
      const upstreams = behind(reference, names);
      const matched = (some: readonly Sample[]) =>
        upstreams.some((name) => policiesFor(policiesOf(some), name, POD).length > 0);
      const evidence = ({ signed, policy: one }: Sample) =>
        signed && one.mode === "enforce" && staticVerdict(one) === undefined;
      const nobodyPushes = names.originsOf(reference).every(({ by }) => by.cache.pullOnly);
      expect(matched(all.filter(evidence)) || (nobodyPushes && matched(all))).to.equal(true);
      return true;
    });
  });

  it("an image that is admitted is admitted under the name that it may be given, where that means no other image", () => {
    holds(5, (names, all, written) => {
      const reference = parseReference(written);
      if (names.originOf(reference) !== undefined || !admitted(written, all, names)) return false;
      const given = names
        .cachedAs(reference)
        .filter((cached) =>
          names
            .originsOf(cached.reference)
            .every((name) => repositoryName(name.reference) === repositoryName(reference)),
        )
        .filter((cached) => refusalByName(policiesOf(all), reference, cached, names, POD) === undefined);
      for (const { reference: cached } of given)
        expect(concluded(cached.asWritten, all, names).errors).to.equal(undefined);
      return given.length > 0;
    });
  });
});
