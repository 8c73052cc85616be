import { expect } from "chai";
import fc from "fast-check";
import { buildNames, NO_NAMES } from "../../core/cachenames/names.ts";
import type { CacheNames, NamedRuleView } from "../../core/cachenames/types.ts";
import { canonicalName, parseReference } from "../../core/image/reference.ts";
import { HOST, MAIN_REGISTRY, type NamedRuleChange, namedRule } from "../support/named-rules.ts";

function rule(source: string, target: string, change: NamedRuleChange = {}, host = HOST): NamedRuleView {
  return namedRule(source, target, { ...change, host });
}

function cached(names: CacheNames, image: string): readonly string[] {
  return names.cachedAs(parseReference(image)).map(({ reference }) => reference.asWritten);
}

function origin(names: CacheNames, image: string): string | undefined {
  const found = names.originOf(parseReference(image));
  return found && canonicalName(found.reference);
}

describe("the names of images in caches", () => {
  const names = buildNames(
    [
      rule("docker.io/*", "hub/*"),
      rule("docker.io/library/nginx", "web/nginx"),
      rule("docker.io/library/*", "official/*"),
      rule("ghcr.io/acme/*", "*"),
    ],
    [MAIN_REGISTRY],
  );

  it("are given by the most specific rule first, with tag and digest as they were", () => {
    const digest = `sha256:${"a".repeat(64)}`;
    expect(cached(names, "nginx:1")).to.deep.equal([
      `${HOST}/web/nginx:1`,
      `${HOST}/official/nginx:1`,
      `${HOST}/hub/library/nginx:1`,
    ]);
    expect(cached(names, "docker.io/bitnami/redis")).to.deep.equal([`${HOST}/hub/bitnami/redis`]);
    expect(cached(names, `redis:7@${digest}`)[0]).to.equal(`${HOST}/official/redis:7@${digest}`);
    expect(cached(names, "ghcr.io/acme/app/api:v1")).to.deep.equal([`${HOST}/app/api:v1`]);
    expect(cached(names, "quay.io/acme/app")).to.deep.equal([]);
    expect(cached(names, "ghcr.io/acme")).to.deep.equal([]);
  });

  it("lead back to the upstream's, exact targets before wildcards", () => {
    expect(origin(names, `${HOST}/web/nginx:1`)).to.equal("index.docker.io/library/nginx:1");
    expect(origin(names, `${HOST}/hub/bitnami/redis:7`)).to.equal("index.docker.io/bitnami/redis:7");
    expect(origin(names, `${HOST}/hub/redis`)).to.equal("index.docker.io/library/redis:latest");
    expect(origin(names, `${HOST}/app/api:v1`)).to.equal("ghcr.io/acme/app/api:v1");
    expect(origin(names, "localhost:30501/hub/redis")).to.equal(undefined);
    expect(origin(names, "nginx")).to.equal(undefined);
  });

  it("have the registry's path before the target where it has one", () => {
    const host = "europe-docker.pkg.dev/project/mirror";
    const pkg = buildNames(
      [rule("docker.io/*", "*", {}, host), rule("quay.io/*", "quay/*", {}, host)],
      [MAIN_REGISTRY],
    );
    expect(cached(pkg, "redis:7")).to.deep.equal([`${host}/library/redis:7`]);
    expect(cached(pkg, "quay.io/a/b:1")).to.deep.equal([`${host}/quay/a/b:1`]);
    expect(origin(pkg, `${host}/quay/a/b:1`)).to.equal("quay.io/a/b:1");
    expect(origin(pkg, `${host}/library/redis:7`)).to.equal("index.docker.io/library/redis:7");
    expect(origin(pkg, "europe-docker.pkg.dev/project/mirrored/redis")).to.equal(undefined);
  });

  it("are those of accepted rules alone, whether or not they can be pulled now", () => {
    const one = (change: NamedRuleChange, registry = MAIN_REGISTRY) => {
      const index = buildNames([rule("docker.io/*", "hub/*", change)], [registry]);
      return {
        back: origin(index, `${HOST}/hub/a/b`),
        obstacle: index.cachedAs(parseReference("a/b"))[0]?.by.obstacle,
      };
    };
    const back = "index.docker.io/a/b:latest";
    expect(one({})).to.deep.equal({ back, obstacle: undefined });
    expect(one({ accepted: "False" })).to.deep.equal({ back: undefined, obstacle: undefined });
    expect(one({ name: "r", notReady: "the reason" })).to.deep.equal({
      back,
      obstacle: 'CacheRule "r" is not Ready: the reason',
    });
    expect(one({ name: "r", suspend: true })).to.deep.equal({ back, obstacle: 'CacheRule "r" is suspended' });
    expect(one({ name: "r", deletionTimestamp: "2026-01-02T00:00:00Z" })).to.deep.equal({
      back,
      obstacle: 'CacheRule "r" is being deleted',
    });
    const conditions = [{ type: "Reachable", status: "False", message: "no answer" }];
    expect(one({}, { ...MAIN_REGISTRY, status: { conditions } })).to.deep.equal({
      back,
      obstacle: 'CacheRegistry "main": no answer',
    });
    expect(buildNames([rule("docker.io/*", "hub/*")], [])).to.equal(NO_NAMES);
  });

  it("prefer, of two rules for one name, the one that stays, and then the older", () => {
    const young = rule("quay.io/evil/*", "hub/*", { name: "a-young", creationTimestamp: "2026-02-01T00:00:00Z" });
    const old = rule("docker.io/*", "hub/*", { name: "b-old" });
    const going = { ...old, metadata: { ...old.metadata, deletionTimestamp: "2026-03-01T00:00:00Z" } };
    expect(origin(buildNames([young, old], [MAIN_REGISTRY]), `${HOST}/hub/a/b`)).to.equal("index.docker.io/a/b:latest");
    expect(origin(buildNames([young, going], [MAIN_REGISTRY]), `${HOST}/hub/a/b`)).to.equal("quay.io/evil/a/b:latest");
  });

  const part = fc.constantFrom("a", "b", "lib", "library", "x-1");
  const path = fc.array(part, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
  const host = fc.constantFrom("docker.io", "ghcr.io", "registry.local:5000");

  it("are none where the host is none in an image reference: nodes would ask Docker Hub for a user of that name", () => {
    const bare = buildNames([rule("quay.io/*", "quay/*", {}, "cache")], [MAIN_REGISTRY]);
    expect(cached(bare, "quay.io/acme/app:v1")).to.deep.equal([]);
    const withPort = buildNames([rule("quay.io/*", "quay/*", {}, "cache:5000")], [MAIN_REGISTRY]);
    expect(cached(withPort, "quay.io/acme/app:v1")).to.deep.equal(["cache:5000/quay/acme/app:v1"]);
  });

  it("are the same forth and back, whatever the rules", () => {
    const wild = fc.tuple(host, path, path).map(([h, s, t]) => rule(`${h}/${s}/*`, `${t}/*`));
    const exact = fc.tuple(host, path, path).map(([h, s, t]) => rule(`${h}/${s}`, t));
    fc.assert(
      fc.property(fc.array(fc.oneof(wild, exact), { maxLength: 8 }), host, path, (rules, registry, repository) => {
        const index = buildNames(rules, [MAIN_REGISTRY]);
        const image = parseReference(`${registry}/${repository}:v1`);
        for (const { by, reference } of index.cachedAs(image)) {
          const alone = buildNames(
            rules.filter(({ metadata }) => metadata.name === by.rule),
            [MAIN_REGISTRY],
          );
          const back = alone.originOf(reference);
          if (back !== undefined) expect(canonicalName(back.reference)).to.equal(canonicalName(image));
          else expect.fail(`${reference.asWritten} leads nowhere`);
        }
      }),
    );
  });

  it("are built again from what was read before: the same index", () => {
    const rules = [rule("docker.io/*", "hub/*"), rule("ghcr.io/a/b", "b")];
    const again = buildNames(rules, [MAIN_REGISTRY], buildNames(rules, [MAIN_REGISTRY]));
    expect(cached(again, "a/b")).to.deep.equal([`${HOST}/hub/a/b`]);
    expect(again.size).to.equal(2);
  });
});
