import { expect } from "chai";
import fc from "fast-check";
import { buildRoutes } from "../../core/cacherule/routes.ts";
import type { CacheRuleView } from "../../core/cacherule/servable.ts";
import {
  catalogNames,
  catalogPage,
  parseCatalogRequest,
  readCatalog,
  warningHeader,
} from "../../core/gateway/catalog.ts";

const HOST = "registry.local:5000";

function rule(name: string, source: string, target: string): CacheRuleView {
  return {
    metadata: { name, uid: name, generation: 1, creationTimestamp: "2026-01-01T00:00:00Z" },
    spec: { registryRef: { name: "main" }, source, target },
    status: { conditions: [{ type: "Accepted", status: "True", observedGeneration: 1 }] },
  };
}

describe("the catalogue's request", () => {
  it("is one path, and nothing that looks like it", () => {
    expect(parseCatalogRequest("GET", "/v2/_catalog")).to.deep.equal({ ok: true, query: { n: 1000 } });
    expect(parseCatalogRequest("HEAD", "/v2/_catalog?n=5&last=a/b")).to.deep.equal({
      ok: true,
      query: { n: 5, last: "a/b" },
    });
    expect(parseCatalogRequest("GET", "/v2/_catalog?n=999999")).to.deep.equal({ ok: true, query: { n: 1000 } });
    for (const target of ["/v2/_catalog/", "/v2/%5fcatalog", "/_catalog", "/v2/a/_catalog", "//v2/_catalog"])
      expect(parseCatalogRequest("GET", target), target).to.equal(undefined);
    expect(parseCatalogRequest("DELETE", "/v2/_catalog")).to.equal(undefined);
    for (const query of ["?n=", "?n=1.5", "?n=-1", "?n=1234567", "?last=a%22", `?last=${"a".repeat(256)}`])
      expect(parseCatalogRequest("GET", `/v2/_catalog${query}`)?.ok, query).to.equal(false);
  });
});

describe("the catalogue's names", () => {
  const component = fc.constantFrom("a", "b", "c");
  const path = fc.array(component, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
  const host = fc.constantFrom(HOST, "other.local:5000");
  const spec = fc.record({ host, source: path, target: path, wildcard: fc.boolean() });

  it("are exactly those by which a pull gets to the repository", () => {
    fc.assert(
      fc.property(fc.array(spec, { maxLength: 6 }), fc.uniqueArray(path, { maxLength: 8 }), (specs, repositories) => {
        const table = buildRoutes(
          specs.map(({ host: at, source, target, wildcard }, index) => {
            const end = wildcard ? "/*" : "";
            return rule(`r${index}`, `${at}/${source}${end}`, `${target}${end}`);
          }),
          "main",
        );
        const names = catalogNames(table, HOST, repositories);
        const candidates = pathsOf(5);
        const wanted = candidates.filter((name) => {
          const upstream = table.match(name)?.upstream;
          return upstream?.host === HOST && repositories.includes(upstream.repository);
        });
        expect([...names].sort()).to.deep.equal(wanted.sort());
      }),
      { numRuns: 300 },
    );
  });

  it("give Docker Hub's official images the rule's name", () => {
    const table = buildRoutes([rule("hub", "docker.io/*", "hub/*"), rule("nginx", "docker.io/nginx", "web")], "main");
    expect([...catalogNames(table, "index.docker.io", ["library/nginx", "acme/app"])].sort()).to.deep.equal([
      "hub/acme/app",
      "hub/library/nginx",
      "web",
    ]);
  });
});

/** Every path of at most `depth` of the components above. */
function pathsOf(depth: number): string[] {
  const shorter = depth === 1 ? [] : pathsOf(depth - 1);
  const stems = depth === 1 ? [""] : ["", ...shorter.map((stem) => `${stem}/`)];
  return [...new Set(stems.flatMap((stem) => ["a", "b", "c"].map((part) => `${stem}${part}`)))];
}

describe("the catalogue's pages", () => {
  it("are the whole list, each name once, whatever their size", () => {
    const names = fc.uniqueArray(fc.stringMatching(/^[a-z0-9]{1,4}(\/[a-z0-9]{1,4})?$/), { maxLength: 40 });
    fc.assert(
      fc.property(names, fc.integer({ min: 1, max: 50 }), (list, n) => {
        const sorted = list.sort();
        const seen: string[] = [];
        let target: string | undefined = `/v2/_catalog?n=${n}`;
        while (target !== undefined) {
          const parsed = parseCatalogRequest("GET", target);
          if (parsed?.ok !== true) throw new Error(`the link ${target} is refused`);
          const { names: page, link } = catalogPage(sorted, parsed.query);
          seen.push(...page);
          expect(seen.length, "the pages go on").to.be.at.most(sorted.length);
          target = link === undefined ? undefined : /^<(.+)>; rel="next"$/.exec(link)?.[1];
        }
        expect(seen).to.deep.equal(sorted);
      }),
    );
  });

  it("of a backend are read without what is no name", () => {
    expect(readCatalog('{"repositories":["a","B",1,"c/d"]}')).to.deep.equal(["a", "c/d"]);
    for (const body of ["", "[]", "{}", '{"repositories":null}', '{"repositories":"a"}'])
      expect(readCatalog(body), body).to.equal(undefined);
  });

  it("warn in the specification's form", () => {
    expect(warningHeader('a "b" \\ c\r\nd\u00e9')).to.equal('299 - "a b  cd"');
    expect(warningHeader("x".repeat(9000)).length).to.be.lessThan(4096);
  });
});
