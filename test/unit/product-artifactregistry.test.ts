import { expect } from "chai";
import fc from "fast-check";
import { parseMapping } from "../../core/cacherule/mapping.ts";
import {
  artifactRegistryPullHost,
  judgeArtifactRegistry,
  type RepositoryUpstream,
  repositoryName,
  wantedRepository,
} from "../../core/product/artifactregistry.ts";
import {
  type CleanupPolicy,
  cleanupFingerprint,
  durationSeconds,
} from "../../core/product/artifactregistry-cleanup.ts";
import {
  compareRepository,
  type FoundRepository,
  markOf,
  sameSecretVersion,
  upstreamKey,
} from "../../core/product/artifactregistry-compare.ts";
import type { CacheRuleObject, Upstream } from "../../crds/index.ts";

type Spec = CacheRuleObject["spec"];
const BLOCK = { project: "acme-cache", location: "europe-west3", auth: { workloadIdentity: {} } };
const spec = (change: Partial<Spec> = {}): Spec => ({
  registryRef: { name: "gar" },
  source: "docker.io/*",
  target: "hub/*",
  ...change,
});
const rule = (change: Partial<Spec> = {}) => ({ spec: spec(change), metadata: { uid: "uid-1" } }) as CacheRuleObject;
const judge = (change: Partial<Spec>) => judgeArtifactRegistry({ spec: spec(change) }, parseMapping(spec(change)));
const wanted = (change: Partial<Spec> = {}) => wantedRepository(rule(change), parseMapping(spec(change)), undefined);

const FOUND: FoundRepository = {
  format: "DOCKER",
  mode: "REMOTE_REPOSITORY",
  description: "",
  labels: {},
  kmsKeyName: "",
  upstream: { kind: "dockerHub" },
  noCache: false,
  cleanupPolicies: [],
  cleanupPolicyDryRun: false,
};
const fields = (change: Partial<FoundRepository>, spec: Partial<Spec> = {}) =>
  compareRepository("id", wanted(spec), { ...FOUND, ...change }).differences;

describe("A rule for Artifact Registry", () => {
  it("is pulled below the location's host and the project, by the repository's name", () => {
    expect(artifactRegistryPullHost(BLOCK)).to.equal("europe-west3-docker.pkg.dev/acme-cache");
    expect(artifactRegistryPullHost({ ...BLOCK, project: "example.com:it-prod" })).to.equal(
      "europe-west3-docker.pkg.dev/example.com/it-prod",
    );
    const name = "projects/acme-cache/locations/europe-west3/repositories/hub";
    expect(repositoryName(BLOCK, parseMapping(spec()))).to.equal(name);
  });

  const served: readonly Partial<Spec>[] = [
    {},
    { source: "registry.example:5000/*", target: "r/*" },
    { source: "us-docker.pkg.dev/other-project/base/*", target: "base/*" },
    { target: `${"a".repeat(63)}/*` },
    { options: { artifactRegistry: { labels: { größe: "groß", a_b: "" } } } },
    { options: { artifactRegistry: { cleanupPolicies: [{ id: "all", action: "Delete", tagState: "Any" }] } } },
  ];
  for (const change of served)
    it(`is served: ${JSON.stringify(change).slice(0, 100)}`, () => expect(judge(change)).to.equal(undefined));

  const refused: readonly (readonly [Partial<Spec>, string, string])[] = [
    [
      { source: "docker.io/library/nginx", target: "nginx" },
      "UnsupportedShape",
      "source: docker.io/* and target: nginx/*",
    ],
    [
      { source: "docker.io/library/*" },
      "UnsupportedShape",
      "no filter by path: write source: docker.io/* and target: hub/*",
    ],
    [{ source: "ghcr.io/acme/*", target: "a/b/*" }, "UnsupportedShape", "source: ghcr.io/* and target: a/*"],
    [{ target: "*" }, "UnsupportedShape", "target: mirror/*"],
    [{ target: "hub/library/*" }, "UnsupportedShape", "target: hub/*"],
    [{ target: "1hub/*" }, "InvalidSpec", "a letter first"],
    [{ target: "my_hub/*" }, "InvalidSpec", "hyphens"],
    [{ target: `${"a".repeat(64)}/*` }, "InvalidSpec", "63"],
    [{ source: "us-docker.pkg.dev/*" }, "UnsupportedUpstream", "us-docker.pkg.dev/<project>/<repository>/*"],
    [{ source: "us-docker.pkg.dev/project-a/repo/sub/*" }, "UnsupportedUpstream", "repository by repository"],
    [{ options: { artifactRegistry: { labels: { "managed-by": "me" } } } }, "InvalidSpec", "Entrepot's own mark"],
    [{ options: { artifactRegistry: { labels: { "cacherule-uid": "x" } } } }, "InvalidSpec", "Entrepot's own mark"],
    [{ options: { artifactRegistry: { labels: { Team: "x" } } } }, "InvalidSpec", "lower-case"],
    [{ options: { artifactRegistry: { labels: { team: "A B" } } } }, "InvalidSpec", "lower-case"],
    [
      { options: { artifactRegistry: { cleanupPolicies: [{ id: "all", action: "Delete" }] } } },
      "InvalidSpec",
      "every version",
    ],
  ];
  for (const [change, reason, text] of refused)
    it(`is refused, with what to write: ${JSON.stringify(change).slice(0, 90)}`, () => {
      const refusal = judge(change);
      expect(refusal?.reason).to.equal(reason);
      expect(refusal?.message).to.contain(text);
    });
});

describe("A repository compared with its rule", () => {
  it("has nothing to correct in what is not declared", () => {
    const found = { description: "by hand", labels: { cost: "42" }, kmsKeyName: "k", cleanupPolicyDryRun: true };
    expect(fields({ ...found, cleanupPolicies: [{ id: "x", action: "DELETE" }] })).to.deep.equal([]);
  });

  it("knows by a label which credentials were set, should answers never have them", () => {
    const entry = (username: string): Upstream => ({
      host: "docker.io",
      credentials: { secretManagerVersion: { username, passwordSecretVersion: "projects/p/secrets/s/versions/1" } },
    });
    const of = (username: string) => wantedRepository(rule(), parseMapping(spec()), entry(username));
    const label = of("acme").mark["cacherule-credentials"] ?? "";
    const compared = (username: string | undefined, labels: Record<string, string>) =>
      compareRepository("r", username === undefined ? wanted() : of(username), { ...FOUND, labels }).differences.map(
        ({ field }) => field,
      );
    expect(compared("acme", { "cacherule-credentials": label })).to.deep.equal([]);
    for (const [username, labels] of [
      ["acme", {}],
      ["other", { "cacherule-credentials": label }],
      [undefined, { "cacherule-credentials": label }],
    ] as const)
      expect(compared(username, labels)).to.deep.equal(["remoteRepositoryConfig.upstreamCredentials"]);
  });

  it("has each field that differs, with whether the product can change it", () => {
    const options = {
      artifactRegistry: { description: "d", labels: { a: "b" }, kmsKeyName: "k", cleanupPolicies: [] },
    };
    const changed = {
      format: "MAVEN",
      mode: "STANDARD_REPOSITORY",
      noCache: true,
      upstream: { kind: "custom", uri: "https://quay.io" },
      credentials: { username: "u", passwordSecretVersion: "p" },
      cleanupPolicies: [{ id: "x", action: "DELETE" }],
      cleanupPolicyDryRun: true,
    } as const;
    expect(fields(changed, { options })).to.deep.equal([
      { field: "format", correctable: false },
      { field: "mode", correctable: false },
      { field: "remoteRepositoryConfig", correctable: false },
      { field: "remoteRepositoryConfig.noCache", correctable: false },
      { field: "kmsKeyName", correctable: false },
      { field: "description", correctable: true },
      { field: "labels", correctable: true },
      { field: "remoteRepositoryConfig.upstreamCredentials", correctable: true },
      { field: "cleanupPolicies", correctable: true },
      { field: "cleanupPolicyDryRun", correctable: true },
    ]);
  });

  it("may leave its enums out or spell them in any case", () => {
    for (const [format, mode] of [
      ["", ""],
      ["FORMAT_UNSPECIFIED", "MODE_UNSPECIFIED"],
      ["docker", "Remote_Repository"],
    ])
      expect(fields({ format: format ?? "", mode: mode ?? "" })).to.deep.equal([]);
    expect(fields({ mode: "VALUE_9" })).to.have.length(1);
  });

  it("is ours by this rule's mark alone", () => {
    const mark = (labels: Record<string, string>) => markOf(wanted(), labels);
    expect(mark({ "managed-by": "entrepot", "cacherule-uid": "uid-1" })).to.equal("ours");
    expect(mark({ "managed-by": "entrepot", "cacherule-uid": "uid-2" })).to.equal("foreign");
    expect(mark({ "managed-by": "terraform", "cacherule-uid": "uid-1" })).to.equal("foreign");
    expect(mark({ "managed-by": "entrepot" })).to.equal(undefined);
    expect(mark({ "cacherule-uid": "uid-1" })).to.equal(undefined);
    expect(mark({})).to.equal(undefined);
  });

  it("has one upstream under all of its spellings, and different ones differ", () => {
    const hub: readonly RepositoryUpstream[] = [
      { kind: "dockerHub" },
      ...["https://registry-1.docker.io", "https://INDEX.docker.io/", "HTTPS://docker.io:443//"].flatMap((uri) => [
        { kind: "custom", uri } as const,
        { kind: "common", uri } as const,
      ]),
    ];
    expect(new Set(hub.map(upstreamKey))).to.deep.equal(new Set(["docker.io"]));
    const own = "projects/p/locations/us/repositories/r";
    expect(upstreamKey({ kind: "common", uri: "https://us-docker.pkg.dev/p/r" })).to.equal(own);
    expect(upstreamKey({ kind: "common", uri: own })).to.equal(own);
    expect(upstreamKey({ kind: "custom", uri: "https://docker.io/library" })).to.equal("https://docker.io/library");
    expect(upstreamKey({ kind: "custom", uri: "http://ghcr.io" })).to.equal("http://ghcr.io");
    const host = fc.constantFrom("ghcr.io", "quay.io", "r.example:5000", "docker.io", "index.docker.io");
    const kind = fc.constantFrom("custom" as const, "common" as const);
    const same = (a: string, b: string): boolean => a === b || (a.endsWith("docker.io") && b.endsWith("docker.io"));
    fc.assert(
      fc.property(host, host, kind, fc.constantFrom("", "/", "//"), fc.boolean(), (a, b, kind, slashes, upper) => {
        const uri = `https://${upper ? a.toUpperCase() : a}${slashes}`;
        const key = upstreamKey({ kind, uri });
        return (key === upstreamKey({ kind: "custom", uri: `https://${b}` })) === same(a, b);
      }),
    );
  });

  it("may name the project of a secret by its number", () => {
    const version = (project: string, rest = "secrets/s/versions/1") => `projects/${project}/${rest}`;
    expect(sameSecretVersion(version("acme"), version("acme"))).to.equal(true);
    expect(sameSecretVersion(version("acme"), version("123456"))).to.equal(true);
    expect(sameSecretVersion(version("acme"), version("other"))).to.equal(false);
    expect(sameSecretVersion(version("123"), version("456"))).to.equal(false);
    expect(sameSecretVersion(version("acme"), version("123456", "secrets/s/versions/2"))).to.equal(false);
    expect(sameSecretVersion("", "")).to.equal(true);
  });
});

describe("Cleanup policies", () => {
  const texts = fc.uniqueArray(fc.stringMatching(/^[a-z]{1,4}$/), { maxLength: 4 });
  const policy: fc.Arbitrary<CleanupPolicy> = fc.record({
    id: fc.stringMatching(/^[a-z]{1,3}$/),
    action: fc.constantFrom("DELETE", "KEEP"),
    condition: fc.record({
      tagState: fc.constantFrom("ANY", "TAGGED", "UNTAGGED"),
      tagPrefixes: texts,
      versionNamePrefixes: texts,
      packageNamePrefixes: texts,
      olderThan: fc.nat(1e6),
    }),
  });
  const policies = fc.uniqueArray(policy, { maxLength: 5, selector: ({ id }) => id });

  it("are the same in any order, of prefixes too, and in any case", () => {
    const shuffled = (policy: CleanupPolicy): CleanupPolicy => ({
      ...policy,
      action: policy.action.toLowerCase(),
      ...(policy.condition && {
        condition: {
          ...policy.condition,
          tagState:
            policy.condition.tagState === "ANY" ? "TAG_STATE_UNSPECIFIED" : policy.condition.tagState.toLowerCase(),
          tagPrefixes: policy.condition.tagPrefixes.toReversed(),
        },
      }),
    });
    fc.assert(
      fc.property(policies, (all) => cleanupFingerprint(all) === cleanupFingerprint(all.toReversed().map(shuffled))),
    );
  });

  it("differ when anything else does", () => {
    fc.assert(
      fc.property(policies, fc.nat(), (all, index) => {
        const at = index % Math.max(1, all.length);
        const changed = all.map((policy, i) =>
          i === at && policy.condition ? { ...policy, condition: { ...policy.condition, olderThan: 2e6 } } : policy,
        );
        return all.length === 0 || cleanupFingerprint(all) !== cleanupFingerprint(changed);
      }),
    );
  });

  it("read durations as the API takes them", () => {
    const cases = { "90m": 5_400, "1.5h": 5_400, "24h": 86_400, "1h30m": 5_400, "0.1s": 0.1, "1h0.3s": 3_600.3 };
    for (const [text, seconds] of Object.entries(cases)) expect(durationSeconds(text), text).to.equal(seconds);
  });
});
