import { expect } from "chai";
import fc from "fast-check";
import { buildRoutes } from "../../core/cacherule/routes.ts";
import type { CacheRuleView } from "../../core/cacherule/servable.ts";

function rule(
  name: string,
  source: string,
  target: string,
  change: Partial<CacheRuleView["metadata"]> = {},
): CacheRuleView {
  return {
    metadata: { name, uid: `uid-${name}`, generation: 1, creationTimestamp: "2026-01-01T00:00:00Z", ...change },
    spec: { registryRef: { name: "main" }, source, target },
    status: { conditions: [{ type: "Accepted", status: "True", observedGeneration: 1 }] },
  };
}

describe("the gateway's routes", () => {
  it("prefer an exact target to the wildcard around it", () => {
    const table = buildRoutes(
      [rule("all", "docker.io/*", "hub/*"), rule("one", "quay.io/acme/nginx", "hub/nginx")],
      "main",
    );
    expect(table.match("hub/nginx")).to.deep.include({ upstream: { host: "quay.io", repository: "acme/nginx" } });
    expect(table.match("hub/redis")?.route.rule).to.equal("all");
    expect(table.match("hub/redis")?.upstream).to.deep.equal({ host: "index.docker.io", repository: "library/redis" });
    expect(table.match("hub")).to.equal(undefined);
    expect(table.match("other/nginx")).to.equal(undefined);
    expect(table.match("")).to.equal(undefined);
  });

  it("serve everything below a wildcard at the root, exact targets apart", () => {
    const table = buildRoutes([rule("root", "quay.io/*", "*"), rule("one", "docker.io/nginx", "nginx")], "main");
    expect(table.match("a/b/c")?.upstream).to.deep.equal({ host: "quay.io", repository: "a/b/c" });
    expect(table.match("nginx")?.upstream.host).to.equal("index.docker.io");
  });

  it("leave out what is not servable", () => {
    const deleted = rule("gone", "docker.io/nginx", "nginx", { deletionTimestamp: "2026-01-01T00:00:00Z" });
    expect(buildRoutes([deleted], "main").match("nginx")).to.equal(undefined);
    expect(buildRoutes([rule("nginx", "docker.io/nginx", "nginx")], "other").match("nginx")).to.equal(undefined);
    expect(buildRoutes([rule("nginx", "docker.io/nginx", "nginx")], "main").match("nginx")?.route.uid).to.equal(
      "uid-nginx",
    );
  });

  it("serve one of two rivals that both look accepted, and report the other", () => {
    const young = rule("a-young", "quay.io/evil/nginx", "nginx", { creationTimestamp: "2026-02-01T00:00:00Z" });
    const table = buildRoutes([young, rule("b-old", "docker.io/nginx", "nginx")], "main");
    expect(table.match("nginx")?.route.rule).to.equal("b-old");
    expect(table.refused.map(({ rule: name }) => name)).to.deep.equal(["a-young"]);
    expect(table.refused[0]?.message).to.match(/is taken by CacheRule "b-old"/);
  });

  it("report rules that do not parse and serve the others", () => {
    const table = buildRoutes([rule("bad", "nginx:1", "nginx"), rule("good", "docker.io/redis", "redis")], "main");
    expect(table.routes.map((route) => route.rule)).to.deep.equal(["good"]);
    expect(table.refused).to.have.length(1);
  });

  it("are the same whether or not they are built from the ones before", () => {
    const before = [rule("a", "docker.io/a", "a"), rule("b", "docker.io/b/*", "b/*"), rule("gone", "docker.io/c", "c")];
    const changed = rule("b", "quay.io/b/*", "b/*", { uid: "another" });
    const after = [before[0] ?? changed, changed, rule("new", "docker.io/d", "d")];
    const fresh = buildRoutes(after, "main");
    const reused = buildRoutes(after, "main", buildRoutes(before, "main"));
    expect(reused.routes).to.deep.equal(fresh.routes);
    expect(reused.match("b/x")?.upstream).to.deep.equal({ host: "quay.io", repository: "b/x" });
    expect(reused.match("c")).to.equal(undefined);
  });

  it("carry what the operator knows about the upstream", () => {
    const known = rule("nginx", "docker.io/nginx", "nginx");
    const conditions = [
      ...(known.status?.conditions ?? []),
      { type: "UpstreamReachable", status: "False", message: "no route to host" },
    ];
    const table = buildRoutes([{ ...known, status: { conditions } }], "main");
    expect(table.match("nginx")?.route.upstreamProblem).to.equal("no route to host");
  });

  it("name only what a target names: every match is at or below the rule's target", () => {
    const paths = fc
      .array(fc.constantFrom("a", "b", "c"), { minLength: 1, maxLength: 4 })
      .map((parts) => parts.join("/"));
    const targets = fc.uniqueArray(fc.tuple(paths, fc.boolean()).map(([path, wild]) => (wild ? `${path}/*` : path)));
    fc.assert(
      fc.property(targets, paths, (list, repository) => {
        const rules = list.map((target, index) =>
          rule(`r${index}`, `quay.io/s${index}${target.endsWith("/*") ? "/*" : ""}`, target),
        );
        const table = buildRoutes(rules, "main");
        const match = table.match(repository);
        const naming = table.routes.filter(({ target }) =>
          target.endsWith("/*") ? repository.startsWith(target.slice(0, -1)) : repository === target,
        );
        if (match === undefined) return naming.length === 0;
        const exact = naming.find(({ target }) => target === repository);
        return naming.includes(match.route) && (exact === undefined || match.route === exact);
      }),
    );
  });

  it("match in time that does not grow with the number of rules", () => {
    const rules = (count: number): CacheRuleView[] =>
      Array.from({ length: count }, (_, index) => rule(`r${index}`, `quay.io/s${index}/*`, `t${index}/*`));
    const time = (count: number): number => {
      const table = buildRoutes(rules(count), "main");
      const run = (): number => {
        const begun = performance.now();
        for (let index = 0; index < 2_000; index++) table.match(`t${index % count}/a/b`);
        return performance.now() - begun;
      };
      return Math.min(run(), run(), run(), run(), run());
    };
    const [few, many] = [time(10), time(3_000)];
    // A search through all rules would take some 300 times as long; the margin is for a busy machine.
    expect(many, `10 rules: ${few} ms, 3,000 rules: ${many} ms`).to.be.lessThan(few * 100);
  });
});
