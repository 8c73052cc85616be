import { expect } from "chai";
import { NO_NAMES } from "../../core/cachenames/names.ts";
import type { CacheNames, CacheRegistryView, NamedRuleView } from "../../core/cachenames/types.ts";
import { canonicalName, parseReference } from "../../core/image/reference.ts";
import { passesByName, policiesByName, refusalByName } from "../../core/policy/named.ts";
import type { CompiledPolicy } from "../../core/policy/types.ts";
import type { ClusterImagePolicySpec } from "../../crds/types.ts";
import { DIGEST, PEM, policy } from "../support/admission.ts";
import { HOST, namedRule } from "../support/named-rules.ts";
import { namesOf } from "../support/rewrite-samples.ts";

const POD = { group: "", version: "v1", resource: "pods", labels: {} };
const VENDOR = "vendor.example.com";

type Spec = Partial<ClusterImagePolicySpec>;
const PASS: Spec = { authorities: [{ static: { action: "pass" } }] };
const FAIL: Spec = { authorities: [{ static: { action: "fail" } }] };
const KEY: Spec = { authorities: [{ name: "k", key: { data: PEM } }] };

/** A policy of that name for images that match `glob`. */
function about(name: string, glob: string, spec: Spec = KEY): CompiledPolicy {
  return policy({ images: [{ glob }], ...spec }, {}, { name, uid: `uid-${name}` });
}

const inCluster = namesOf([namedRule("docker.io/acme/*", "hub/*", { name: "hub" })]);
const atVendor = namesOf([namedRule("docker.io/acme/*", "hub/*", { name: "hub", registry: "vendor", host: VENDOR })]);

function decided(names: CacheNames, image: string, ...policies: readonly CompiledPolicy[]) {
  const decision = policiesByName(policies, parseReference(image), names, POD);
  const { subject, vouched, unvouchedBecause: because, refusedBecause: refused, upstreams } = decision;
  return {
    by: decision.policies.map(({ name }) => name),
    subject: canonicalName(subject),
    upstreams: upstreams.map(canonicalName),
    vouched,
    because,
    refused,
  };
}

describe("policies that decide on a name in a cache", () => {
  const upstream = about("upstream", "docker.io/acme/**");
  const cached = about("cached", `${HOST}/**`);
  const other = about("other", "docker.io/other/**");

  it("are those of both names, in the order of all policies; facts are kept under the upstream's", () => {
    for (const policies of [
      [cached, other, upstream],
      [upstream, other, cached],
    ]) {
      expect(decided(inCluster, `${HOST}/hub/app:v1@${DIGEST}`, ...policies)).to.deep.equal({
        by: policies.filter((one) => one !== other).map(({ name }) => name),
        subject: `index.docker.io/acme/app@${DIGEST}`,
        upstreams: [`index.docker.io/acme/app@${DIGEST}`],
        vouched: true,
        because: undefined,
        refused: undefined,
      });
    }
  });

  it("are for the upstream's own name what they are without rules", () => {
    const plain = decided(NO_NAMES, "acme/app", cached, upstream);
    expect(decided(inCluster, "acme/app", cached, upstream)).to.deep.equal(plain);
    expect(plain)
      .to.include({ subject: "index.docker.io/acme/app:latest", vouched: true })
      .and.deep.include({
        by: ["upstream"],
        upstreams: [],
      });
    expect(decided(inCluster, "quay.io/a/b", upstream)).to.deep.include({ by: [], vouched: false, because: undefined });
  });

  it("take no look at names where there are no rules", () => {
    const never = () => {
      throw new Error("somebody looked");
    };
    const names = { size: 0, cachedAs: never, originOf: never, originsOf: never };
    expect(decided(names, `${HOST}/hub/app`, cached).by).to.deep.equal(["cached"]);
    expect(() => decided({ ...names, size: 1 }, `${HOST}/hub/app`, cached)).to.throw("somebody looked");
  });

  for (const image of [
    `${HOST.toUpperCase()}/hub/app:v1`,
    `${HOST}/hub/app@${DIGEST}`,
    `${HOST}/hub/app:v1@${DIGEST}`,
  ]) {
    it(`are found for ${image}`, () => expect(decided(inCluster, image, upstream).by).to.deep.equal(["upstream"]));
  }

  it("are found where Docker Hub, by any of its names, is the cache or the upstream", () => {
    const mirror = namesOf([namedRule("index.docker.io/acme/*", "mirror/*", { host: "docker.io" })]);
    for (const image of ["mirror/app", "docker.io/mirror/app:v1", "registry-1.docker.io/mirror/app"])
      expect(decided(mirror, image, upstream).by).to.deep.equal(["upstream"]);
    expect(decided(mirror, "docker.io/mirrored/app", upstream).by).to.deep.equal([]);
  });
});

describe("permission for a name in a cache", () => {
  const byName: readonly (readonly [string, Spec])[] = [
    ["a static pass", PASS],
    ["a static pass beside a key", { authorities: [...(PASS.authorities ?? []), ...(KEY.authorities ?? [])] }],
    ["no authority", { authorities: [], policy: { type: "cue", data: "a: 1" } }],
    ["a warning", { ...KEY, mode: "warn" }],
    ["a warning of a static fail", { ...FAIL, mode: "warn" }],
  ];
  const evidence: readonly (readonly [string, Spec])[] = [
    ["a key", KEY],
    ["a static fail, which refuses anyway", FAIL],
  ];

  for (const [what, spec] of byName) {
    it(`is not given by ${what} for the upstream's name, unless nobody can push to the cache`, () => {
      const named = about("trusted", "docker.io/acme/**", spec);
      expect(passesByName(named)).to.equal(true);
      const { by, vouched, because } = decided(atVendor, `${VENDOR}/hub/app`, named);
      expect({ by, vouched }).to.deep.equal({ by: ["trusted"], vouched: false });
      expect(because)
        .to.match(
          /^ClusterImagePolicy "trusted" (?:passes docker\.io\/acme\/app by its name alone|only warns of docker\.io\/acme\/app), /,
        )
        .and.include('CacheRegistry "vendor"')
        .and.include('CacheRule "hub"')
        .and.include(`write a policy for ${VENDOR}/hub/app, or pull it through an in-cluster CacheRegistry`);
      expect(decided(inCluster, `${HOST}/hub/app`, named)).to.include({ vouched: true, because: undefined });
    });

    it(`is given by ${what} for the cached name itself, and beside a signature`, () => {
      const named = about("trusted", "docker.io/acme/**", spec);
      const own = about("own", `${VENDOR}/hub/*`, spec);
      expect(decided(atVendor, `${VENDOR}/hub/app`, named, own)).to.include({ vouched: true });
      expect(decided(atVendor, `${VENDOR}/hub/app`, named, about("signed", "**/acme/*"))).to.include({ vouched: true });
    });
  }

  for (const [what, spec] of evidence) {
    it(`is a matter of ${what}, wherever the image lies`, () => {
      const named = about("strict", "docker.io/acme/**", spec);
      expect(passesByName(named)).to.equal(false);
      expect(decided(atVendor, `${VENDOR}/hub/app`, named)).to.deep.include({ by: ["strict"], vouched: true });
    });
  }
});

describe("rules that are not served", () => {
  const upstream = about("upstream", "docker.io/acme/**");
  const states: Readonly<Record<string, (rule: NamedRuleView) => NamedRuleView>> = {
    "not Ready": (rule) => ({ ...rule, ...namedRule(rule.spec.source, rule.spec.target, { notReady: "why" }) }),
    suspended: (rule) => ({ ...rule, spec: { ...rule.spec, suspend: true } }),
    "being deleted": (rule) => ({
      ...rule,
      metadata: { ...rule.metadata, deletionTimestamp: "2026-01-02T00:00:00Z" },
    }),
  };
  const wide = namedRule("docker.io/acme/*", "hub/*", { name: "wide" });
  const exact = namedRule("quay.io/x/app", "hub/app", { name: "exact" });
  const quay = about("quay", "quay.io/x/**", PASS);

  for (const [state, change] of Object.entries(states)) {
    it(`keep their requirements: ${state}`, () => {
      expect(decided(namesOf([change(wide)]), `${HOST}/hub/app`, upstream).by).to.deep.equal(["upstream"]);
    });

    it(`do not lend their names to what a wider rule serves there meanwhile: ${state}`, () => {
      const image = `${HOST}/hub/app`;
      expect(decided(namesOf([wide, exact]), image, quay, upstream).by).to.deep.equal(["quay"]);
      const names = namesOf([wide, change(exact)]);
      expect(decided(names, image, quay, upstream).by).to.deep.equal(["quay", "upstream"]);
      const alone = decided(names, image, quay);
      expect(alone).to.include({ vouched: false });
      expect(alone.because).to.include("several CacheRules name it").and.include(`write a policy for ${image}`);
      expect(decided(names, image, quay, about("too", "docker.io/acme/*", PASS))).to.include({ vouched: true });
    });
  }
});

describe("several registries", () => {
  const trusted = about("trusted", "docker.io/acme/**", PASS);
  const key = about("key", "quay.io/x/**");
  const second: CacheRegistryView = { metadata: { name: "second" }, spec: {} };
  const registries: readonly CacheRegistryView[] = [{ metadata: { name: "main" }, spec: { inCluster: {} } }, second];

  it("with equal targets have names of their own", () => {
    const rules = [
      namedRule("docker.io/acme/*", "hub/*"),
      namedRule("quay.io/x/*", "hub/*", { registry: "second", host: VENDOR }),
    ];
    const names = namesOf(rules, registries);
    expect(decided(names, `${HOST}/hub/app`, trusted, key).by).to.deep.equal(["trusted"]);
    expect(decided(names, `${VENDOR}/hub/app`, trusted, key).by).to.deep.equal(["key"]);
  });

  it("that share a host and a target want the requirements of both, and lend permission to neither", () => {
    const rules = [
      namedRule("docker.io/acme/*", "hub/*"),
      namedRule("quay.io/x/*", "hub/*", { registry: "second" }),
      namedRule("ghcr.io/y/app", "hub/app", { registry: "second" }),
    ];
    const names = namesOf(rules, registries);
    expect(decided(names, `${HOST}/hub/other`, trusted, key).by).to.deep.equal(["trusted", "key"]);
    expect(decided(names, `${HOST}/hub/app`, trusted, about("y", "ghcr.io/y/*")).by).to.deep.equal(["trusted", "y"]);
    expect(decided(names, `${HOST}/hub/other`, trusted)).to.include({ vouched: false });
    expect(decided(namesOf(rules.slice(0, 1), registries), `${HOST}/hub/other`, trusted)).to.include({ vouched: true });
  });
});

describe("a cache of a cache", () => {
  const step = (from: number, to: number, registry = "main") =>
    namedRule(`c${from}.example.com/*`, "*", { name: `r${to}`, registry, host: `c${to}.example.com` });
  const chain = (length: number, vendor?: number) =>
    namesOf(Array.from({ length }, (_, index) => step(index, index + 1, index + 1 === vendor ? "vendor" : "main")));
  const named = (index: number, spec?: Spec) => about(`p${index}`, `c${index}.example.com/**`, spec);

  it("has the requirements of every name on the way, and facts under the last one", () => {
    const found = decided(chain(2), "c2.example.com/a:v1", named(0), named(1), named(2));
    expect(found.by).to.deep.equal(["p0", "p1", "p2"]);
    expect(found.upstreams).to.deep.equal(["c1.example.com/a:v1", "c0.example.com/a:v1"]);
    expect(found.subject).to.equal("c0.example.com/a:v1");
  });

  it("passes a name on only where nobody can push anywhere on the way", () => {
    const vouched = (vendor: number | undefined, by: number) =>
      decided(chain(3, vendor), "c3.example.com/a", named(by, PASS)).vouched;
    expect(vouched(undefined, 0)).to.equal(true);
    for (const vendor of [1, 2, 3]) expect(vouched(vendor, 0), `vendor ${vendor}`).to.equal(false);
    expect(vouched(1, 1), "the open cache is named itself").to.equal(true);
    expect(vouched(2, 1)).to.equal(false);
  });

  it("may be of four names besides; more is refused, whatever policies say", () => {
    expect(decided(chain(4), "c4.example.com/a", named(0))).to.deep.include({ by: ["p0"], refused: undefined });
    const { refused, vouched } = decided(chain(5), "c5.example.com/a", named(5, PASS));
    expect(refused).to.include("more than 4 names besides this one").and.include("kubectl get cacherules");
    expect(vouched).to.equal(false);
  });

  it("that leads to itself ends, with the requirements of all", () => {
    const loop = namesOf([step(0, 1), step(1, 0)]);
    expect(decided(loop, "c0.example.com/a", named(1), named(0)).by).to.deep.equal(["p1", "p0"]);
    expect(decided(loop, "c0.example.com/a")).to.include({ vouched: false, refused: undefined });
    const deeper = namesOf([namedRule(`${HOST}/*`, "x/*")]);
    expect(decided(deeper, `${HOST}/x/x/a`, named(0))).to.include({ subject: `${HOST}/a:latest` });
  });
});

describe("an image that might be given a cached name", () => {
  const original = parseReference(`docker.io/acme/app:v1@${DIGEST}`);
  const refusal = (names: CacheNames, policies: readonly CompiledPolicy[], noMatch?: "allow" | "warn") => {
    const [found] = names.cachedAs(original);
    if (found === undefined) throw new Error("no cached name");
    return refusalByName(policies, original, found, names, POD, noMatch);
  };
  const trusted = about("trusted", "docker.io/acme/**", PASS);

  it("keeps its own where that is what it is admitted by", () => {
    expect(refusal(atVendor, [trusted])).to.match(
      /^ClusterImagePolicy "trusted" passes docker\.io\/acme\/app by its name alone/,
    );
    expect(refusal(atVendor, [trusted], "warn")).to.be.a("string");
    expect(refusal(atVendor, [trusted], "allow")).to.equal(undefined);
    expect(refusal(inCluster, [trusted])).to.equal(undefined);
  });

  it("is given it where that changes nothing", () => {
    for (const policies of [[], [about("k", "docker.io/acme/**")], [trusted, about("all", "**", PASS)]])
      expect(refusal(atVendor, policies)).to.equal(undefined);
    expect(refusal(inCluster, [about("w", `${HOST}/**`, { ...KEY, mode: "warn" })])).to.equal(undefined);
    expect(refusal(atVendor, [trusted, about("own", `${VENDOR}/**`, PASS)])).to.equal(undefined);
  });

  it("keeps its own where a registry to which others push has the same name for it", () => {
    const rules = ["main", "vendor"].map((registry) =>
      namedRule("docker.io/acme/*", "hub/*", { name: registry, registry }),
    );
    const names = namesOf(rules);
    expect(decided(names, `${HOST}/hub/app`, trusted)).to.include({ vouched: false });
    expect(refusal(names, [trusted])).to.include('CacheRegistry "vendor"');
    expect(refusal(names, [trusted, about("k", "docker.io/acme/**")])).to.equal(undefined);
  });

  it("keeps its own where a policy for the cached name alone could refuse it", () => {
    for (const spec of [KEY, FAIL, { ...PASS, policy: { type: "cue", data: "a: 1" } }]) {
      const own = about("own", `${HOST}/**`, spec);
      expect(refusal(inCluster, [trusted, own])).to.include(
        `"own" is for ${HOST}/hub/app and not for docker.io/acme/app`,
      );
    }
  });
});
