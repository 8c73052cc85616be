import { expect } from "chai";
import fc from "fast-check";
import { parseMapping, toCache, toUpstream } from "../../core/cacherule/mapping.ts";
import { type CacheRuleView, servable, upstreamProblem } from "../../core/cacherule/servable.ts";

const component = fc.stringMatching(/^[a-z0-9]{1,6}([._-][a-z0-9]{1,4})?$/);
const path = fc.array(component, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/"));
const host = fc.constantFrom("docker.io", "index.docker.io", "registry-1.docker.io", "quay.io", "localhost:5000");
const wildcardPath = fc.oneof(path, fc.constant(""));

function below(prefix: string, repository: string): string {
  return prefix === "" ? repository : `${prefix}/${repository}`;
}

describe("a rule's mapping", () => {
  const cases: [string, string, string, string | undefined][] = [
    [
      "docker.io/lgmorand/demoappprometheus",
      "demo-prometheus",
      "demo-prometheus",
      "index.docker.io lgmorand/demoappprometheus",
    ],
    ["docker.io/nginx", "nginx", "nginx", "index.docker.io library/nginx"],
    ["docker.io/nginx", "nginx", "nginx/x", undefined],
    ["docker.io/nginx", "nginx", "nginx2", undefined],
    ["docker.io/library/*", "hub/*", "hub/nginx", "index.docker.io library/nginx"],
    ["docker.io/library/*", "hub/*", "hub", undefined],
    ["docker.io/library/*", "hub/*", "hub/", undefined],
    ["docker.io/library/*", "hub/*", "hubble/nginx", undefined],
    ["quay.io/*", "*", "a/b", "quay.io a/b"],
    ["quay.io/*", "quay/*", "quay/a", "quay.io a"],
    ["docker.io/*", "hub/*", "hub/nginx", "index.docker.io library/nginx"],
    ["docker.io/*", "hub/*", "hub/library/nginx", "index.docker.io library/nginx"],
    [`quay.io/${"a".repeat(200)}/*`, "*", "b".repeat(100), undefined],
  ];
  for (const [source, target, name, expected] of cases) {
    it(`${source.slice(0, 40)} → ${target}: ${name.slice(0, 40)} is ${expected ?? "not named"}`, () => {
      const upstream = toUpstream(parseMapping({ source, target }), name);
      expect(upstream === undefined ? undefined : `${upstream.host} ${upstream.repository}`).to.equal(expected);
    });
  }

  it("normalises the upstream's name before it looks for it", () => {
    const rule = parseMapping({ source: "docker.io/library/*", target: "hub/*" });
    for (const alias of ["docker.io", "index.docker.io", "registry-1.docker.io", "Docker.IO"]) {
      expect(toCache(rule, alias, "nginx"), alias).to.equal("hub/nginx");
    }
    expect(toCache(rule, "quay.io", "library/nginx")).to.equal(undefined);
    expect(toCache(rule, "docker.io", "acme/nginx")).to.equal(undefined);
  });

  it("refuses a wildcard on one side alone, and says which", () => {
    expect(() => parseMapping({ source: "quay.io/*", target: "quay" })).to.throw(/the source ends with a wildcard/);
    expect(() => parseMapping({ source: "quay.io/a", target: "*" })).to.throw(/the target ends with a wildcard/);
  });

  it("round-trips: upstream → cache → upstream is the same repository", () => {
    fc.assert(
      fc.property(host, wildcardPath, wildcardPath, path, (registry, from, to, rest) => {
        const rule = parseMapping({ source: `${registry}/${below(from, "*")}`, target: below(to, "*") });
        const repository = below(from, rest);
        const cached = toCache(rule, registry, repository);
        const short = rule.source.host === "index.docker.io" && !repository.includes("/");
        const upstream = cached === undefined ? undefined : toUpstream(rule, cached);
        expect(upstream).to.deep.equal({
          host: rule.source.host,
          repository: short ? `library/${repository}` : repository,
        });
      }),
    );
  });

  it("round-trips: cache → upstream → cache is the same name, Docker Hub's short names apart", () => {
    fc.assert(
      fc.property(host, path, wildcardPath, path, (registry, from, to, rest) => {
        const rule = parseMapping({ source: `${registry}/${from}/*`, target: below(to, "*") });
        const name = below(to, rest);
        const upstream = toUpstream(rule, name);
        return upstream !== undefined && toCache(rule, upstream.host, upstream.repository) === name;
      }),
    );
  });

  it("gives two upstream repositories two names", () => {
    fc.assert(
      fc.property(wildcardPath, wildcardPath, path, path, (from, to, one, other) => {
        fc.pre(one !== other);
        const rule = parseMapping({ source: `quay.io/${below(from, "*")}`, target: below(to, "*") });
        return toCache(rule, "quay.io", below(from, one)) !== toCache(rule, "quay.io", below(from, other));
      }),
    );
  });
});

describe("servable", () => {
  const rule = (change: Partial<CacheRuleView> = {}): CacheRuleView => ({
    metadata: { name: "nginx", uid: "u", generation: 2 },
    spec: { registryRef: { name: "main" }, source: "docker.io/nginx", target: "nginx" },
    status: { conditions: [{ type: "Accepted", status: "True", observedGeneration: 2 }] },
    ...change,
  });
  const accepted = (status: string, observedGeneration?: number): Partial<CacheRuleView> => ({
    status: {
      conditions: [{ type: "Accepted", status, ...(observedGeneration !== undefined && { observedGeneration }) }],
    },
  });

  it("is so for an accepted rule of the registry", () => expect(servable(rule(), "main")).to.equal(true));

  it("is so for an accepted one that was edited since: an edit must not interrupt pulls", () => {
    expect(servable(rule(accepted("True", 1)), "main")).to.equal(true);
  });

  const refused: [string, Partial<CacheRuleView>][] = [
    ["another registry's", { spec: { ...rule().spec, registryRef: { name: "other" } } }],
    ["one being deleted", { metadata: { ...rule().metadata, deletionTimestamp: "2026-01-01T00:00:00Z" } }],
    ["a suspended one", { spec: { ...rule().spec, suspend: true } }],
    ["a refused one", accepted("False", 2)],
    ["an undecided one", accepted("Unknown", 2)],
    ["one without conditions", { status: {} }],
    ["one without a uid", { metadata: { name: "nginx", generation: 2 } }],
    ["one without a generation", { metadata: { name: "nginx", uid: "u" }, ...accepted("True") }],
    [
      "one that is only Synced",
      { status: { conditions: [{ type: "Synced", status: "True", observedGeneration: 2 }] } },
    ],
  ];
  for (const [what, change] of refused)
    it(`is not so for ${what}`, () => expect(servable(rule(change), "main")).to.equal(false));

  it("is not so for one without status", () => {
    const { status: _status, ...bare } = rule();
    expect(servable(bare, "main")).to.equal(false);
  });

  it("reads the upstream's problem from the conditions, credentials first", () => {
    const conditions = (...failing: [string, string][]): CacheRuleView =>
      rule({ status: { conditions: failing.map(([type, message]) => ({ type, status: "False", message })) } });
    expect(upstreamProblem(conditions(["UpstreamReachable", "no route"]))).to.equal("no route");
    expect(upstreamProblem(conditions(["UpstreamReachable", "no route"], ["CredentialsHealthy", "401"]))).to.equal(
      "401",
    );
    expect(upstreamProblem(conditions(["Ready", "x"]))).to.equal(undefined);
    expect(upstreamProblem(rule())).to.equal(undefined);
  });
});
