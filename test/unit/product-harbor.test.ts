import { expect } from "chai";
import { assert, constantFrom, integer, property, string, tuple } from "fast-check";
import { parseMapping } from "../../core/cacherule/mapping.ts";
import {
  desiredProject,
  type FoundProject,
  judgeHarborRule,
  metadataDifferences,
  normaliseMetadata,
  normaliseTime,
  PROJECT_METADATA,
  projectDifferences,
  storageBytes,
  UNLIMITED,
} from "../../core/product/harbor.ts";
import {
  endpointDifferences,
  endpointMark,
  endpointName,
  endpointType,
  endpointUrl,
  type FoundEndpoint,
  ownerOf,
  secretVersion,
} from "../../core/product/harbor-endpoint.ts";
import type { CacheRuleSpec } from "../../crds/index.ts";

function spec(source: string, target: string, change: Partial<CacheRuleSpec> = {}): CacheRuleSpec {
  return { registryRef: { name: "main" }, source, target, ...change };
}

function judged(source: string, target: string, change: Partial<CacheRuleSpec> = {}) {
  return judgeHarborRule(parseMapping({ source, target }), spec(source, target, change));
}

describe("What Harbor can serve", () => {
  it("is a whole upstream below a project", () => {
    for (const target of ["hub/*", "a/*", "my-hub_2.x/*"]) expect(judged("docker.io/*", target)).to.equal(undefined);
  });

  for (const [source, target, next] of [
    ["docker.io/library/*", "hub/*", "docker.io/*"],
    ["docker.io/library/nginx", "hub/nginx", "target hub/*"],
    ["ghcr.io/*", "*", "<project>/*"],
    ["ghcr.io/*", "a/b/*", "a-b/*"],
    ["ghcr.io/*", "a--b/*", "single dots"],
    ["ghcr.io/*", `${"a".repeat(250)}/*`, undefined],
  ] as const) {
    it(`${next === undefined ? "takes" : "refuses"} ${source} as ${target.slice(0, 20)}`, () => {
      const refusal = judged(source, target);
      if (next === undefined) expect(refusal).to.equal(undefined);
      else expect(refusal).to.include({ reason: "UnsupportedShape" });
      expect(refusal?.message ?? "").to.contain(next ?? "");
    });
  }

  it("takes no other name than the target's, and no size that Harbor does not know", () => {
    for (const [storageLimit, bytes] of [
      ["100Gi", 107_374_182_400],
      ["1k", 1_000],
      ["1500m", 2],
      ["1Pi", 2 ** 50],
      ["2Pi", undefined],
      ["0", undefined],
      ["1e3", undefined],
    ] as const) {
      expect(storageBytes(storageLimit)).to.equal(bytes);
      expect(judged("ghcr.io/*", "a/*", { options: { harbor: { storageLimit } } })?.reason).to.equal(
        bytes === undefined ? "InvalidSpec" : undefined,
      );
    }
  });
});

describe("A project of Harbor", () => {
  const mapping = parseMapping({ source: "ghcr.io/*", target: "ghcr/*" });
  const found: FoundProject = { id: 7, name: "ghcr", createdAt: "", registryId: 3, repositories: 0, metadata: {} };

  it("without settings is as a rule without options wants it", () => {
    const desired = desiredProject(mapping, spec("ghcr.io/*", "ghcr/*"));
    expect(projectDifferences(desired, found, 3, UNLIMITED)).to.deep.equal([]);
    expect(projectDifferences(desired, found, 3, undefined)).to.deep.equal([]);
    expect(projectDifferences(desired, found, undefined, 5)).to.deep.equal([
      { field: "registry_id", correctable: false },
      { field: "storage_limit", correctable: true },
    ]);
  });

  it("differs in what is spelled otherwise and means otherwise, and in nothing else", () => {
    const options = {
      harbor: { public: true, bandwidthKbps: 64, maxUpstreamConnections: 2, serveWhenUpstreamMissing: true },
    };
    const desired = desiredProject(mapping, spec("ghcr.io/*", "ghcr/*", { options }));
    const same = {
      public: "True",
      proxy_speed_kb: "+64",
      max_upstream_conn: " 2",
      proxy_cache_local_on_not_found: "1",
    };
    expect(metadataDifferences(desired, { ...found, metadata: { ...same, severity: "high" } })).to.deep.equal([]);
    expect(metadataDifferences(desired, found)).to.deep.equal([...PROJECT_METADATA]);
    expect(metadataDifferences(desired, { ...found, metadata: { ...same, proxy_speed_kb: 64 } })).to.deep.equal([
      "proxy_speed_kb",
    ]);
  });

  it("has settings whose normal form is its own normal form", () => {
    assert(
      property(constantFrom(...PROJECT_METADATA), string(), (key, text) => {
        const once = normaliseMetadata(key, text);
        expect(normaliseMetadata(key, once)).to.equal(once);
      }),
    );
    assert(
      property(integer({ min: 1, max: 2 ** 31 - 1 }), (number) => {
        expect(normaliseMetadata("proxy_speed_kb", String(number))).to.equal(String(number));
        expect(normaliseMetadata("proxy_speed_kb", String(-number))).to.equal("-1");
      }),
    );
  });

  it("keeps its time of creation however it is written", () => {
    expect(normaliseTime("2026-03-01T08:00:00Z")).to.equal(normaliseTime("2026-03-01T08:00:00.000Z"));
    expect(normaliseTime("whenever")).to.equal("whenever");
  });
});

describe("A registry endpoint of Harbor", () => {
  const desired = {
    name: "entrepot-main-ghcr-io-0",
    type: "github-ghcr",
    url: "https://ghcr.io",
    ca: "",
    username: "reader",
    version: "uid.1",
    owner: "reg-uid",
  };
  const found: FoundEndpoint = {
    id: 1,
    name: desired.name,
    type: "github-ghcr",
    url: "https://GHCR.io/",
    insecure: false,
    ca: "\r\n",
    username: "reader",
    hasSecret: true,
    description: endpointMark(desired),
    status: "healthy",
  };

  it("has a name of its own for each registry and upstream, of at most 64 characters", () => {
    const name = constantFrom("a", "a-b", "a.b", "a".repeat(63), `${"a".repeat(62)}b`);
    const host = constantFrom(
      "ghcr.io",
      "b-ghcr.io",
      "index.docker.io",
      "reg.local:5000",
      "reg.local-5000",
      `${"x".repeat(200)}.io`,
    );
    assert(
      property(tuple(name, host), tuple(name, host), (one, other) => {
        const made = endpointName(...one);
        expect(made)
          .to.match(/^entrepot-[a-z0-9-]+-[0-9a-f]{8}$/)
          .and.have.length.below(65);
        expect(made === endpointName(...other)).to.equal(one[0] === other[0] && one[1] === other[1]);
      }),
    );
    expect(endpointName("main", "index.docker.io")).to.match(/^entrepot-main-docker-io-/);
  });

  it("is of a kind that Harbor permits for proxy caches", () => {
    const kinds = [
      "index.docker.io",
      "ghcr.io",
      "quay.io",
      "registry.k8s.io",
      "x.azurecr.io",
      "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
    ];
    expect(kinds.map(endpointType)).to.deep.equal([
      "docker-hub",
      "github-ghcr",
      "docker-registry",
      "docker-registry",
      "docker-registry",
      "aws-ecr",
    ]);
    expect(endpointUrl("index.docker.io", false)).to.equal("https://hub.docker.com");
    expect(endpointUrl("reg.local:5000", true)).to.equal("http://reg.local:5000");
  });

  it("differs where something means otherwise", () => {
    expect(endpointDifferences(desired, found)).to.deep.equal([]);
    expect(endpointDifferences({ ...desired, version: "uid.2" }, found)).to.deep.equal(["description"]);
    expect(endpointDifferences(desired, { ...found, hasSecret: false, insecure: true })).to.deep.equal([
      "insecure",
      "access_secret",
    ]);
  });

  it("tells its owner by its description, and nothing of a Secret but its version", () => {
    assert(
      property(string(), string(), (uid, resourceVersion) => {
        const version = secretVersion({ uid, resourceVersion });
        expect(ownerOf({ description: endpointMark({ owner: "reg-uid", version }) })).to.equal("reg-uid");
      }),
    );
    expect(ownerOf({ description: "managed by entrepot reg-uid" })).to.equal("reg-uid");
    for (const description of ["", "managed by hand", "not managed by entrepot reg-uid", "managed by entrepot a b c"])
      expect(ownerOf({ description })).to.equal(undefined);
  });
});
