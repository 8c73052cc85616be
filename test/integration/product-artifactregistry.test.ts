import { expect } from "chai";
import { PARENT, raiseStage, rule, type Stage } from "../support/artifactregistry/stage.ts";

const HUB = `${PARENT}/repositories/hub`;
const UID = "5c0a1e9e-0000-4000-8000-000000000001";
const VERSION = "projects/acme-cache/secrets/hub/versions/3";

describe("A rule on Google Artifact Registry (contract fake, never run against Google; through Google's SDK)", function () {
  this.timeout(120_000);
  let stage: Stage;
  let end: () => Promise<void> = () => Promise.resolve();

  before(async function () {
    const raised = await raiseStage();
    if (raised === undefined) return this.skip();
    ({ stage, end } = raised);
  });
  after(async () => await end());
  beforeEach(() => {
    stage.upstreams = [];
    stage.fake.repositories.clear();
    stage.fake.images.clear();
    stage.fake.requests.length = 0;
  });
  afterEach(() => {
    expect(stage.fake.deviations.splice(0), "deviations from the contract").to.deep.equal([]);
  });

  const observed = async (asked = rule()) => await stage.product.observe(stage.request(asked), stage.signal);
  const made = async (asked = rule()) => {
    await stage.product.create(stage.request(asked), stage.signal);
    return await observed(asked);
  };

  it("is a remote repository that carries our mark, and then nothing is left to do", async () => {
    const request = stage.request();
    expect(await stage.step(request)).to.deep.equal({ do: "create", drift: [] });
    await stage.product.create(request, stage.signal);
    expect(stage.fake.repositories.get(HUB)).to.deep.include({
      format: "DOCKER",
      mode: "REMOTE_REPOSITORY",
      labels: { "managed-by": "entrepot", "cacherule-uid": UID },
      remoteRepositoryConfig: { dockerRepository: { publicRepository: "DOCKER_HUB" } },
    });
    const found = await observed();
    expect(found).to.deep.equal({
      id: HUB,
      createdAt: "2026-01-01T00:00:01.123Z",
      mark: "ours",
      differences: [],
      state: "settled",
    });
    expect(await stage.step(request)).to.deep.equal({ do: "nothing", adopted: false });
    expect(stage.fake.writes).to.have.length(1);
  });

  it("names any other upstream by its address, and another Artifact Registry by its resource", async () => {
    await made(rule({ source: "ghcr.io/*", target: "ghcr/*" }));
    await made(rule({ source: "europe-docker.pkg.dev/other-project/base/*", target: "base/*" }));
    const remote = (name: string) =>
      stage.fake.repositories.get(`${PARENT}/repositories/${name}`)?.["remoteRepositoryConfig"];
    expect(remote("ghcr")).to.deep.equal({ dockerRepository: { customRepository: { uri: "https://ghcr.io" } } });
    const uri = "projects/other-project/locations/europe/repositories/base";
    expect(remote("base")).to.deep.equal({ commonRepository: { uri } });
    for (const source of ["ghcr.io/*", "europe-docker.pkg.dev/other-project/base/*"])
      expect(
        (await observed(rule({ source, target: source.startsWith("g") ? "ghcr/*" : "base/*" })))?.differences,
      ).to.deep.equal([]);
  });

  it("has the upstream's credentials and every option, which come back as they went", async () => {
    stage.upstreams = [
      {
        host: "docker.io",
        credentials: { secretManagerVersion: { username: "acme", passwordSecretVersion: VERSION } },
      },
    ];
    const asked = rule({
      options: {
        artifactRegistry: {
          description: "Docker Hub",
          labels: { team: "platform" },
          kmsKeyName: "projects/p/locations/europe-west3/keyRings/r/cryptoKeys/k",
          cleanupPolicies: [
            { id: "old", action: "Delete", olderThan: "720h", tagPrefixes: ["v2", "v1"], tagState: "Tagged" },
            { id: "half-day", action: "Delete", newerThan: "1.5s" },
            { id: "keep", action: "Keep", keepCount: 5 },
          ],
        },
      },
    });
    expect((await made(asked))?.differences).to.deep.equal([]);
    expect(stage.fake.repositories.get(HUB)?.["cleanupPolicies"]).to.deep.equal({
      old: {
        id: "old",
        action: "DELETE",
        condition: { tagState: "TAGGED", tagPrefixes: ["v2", "v1"], olderThan: "2592000s" },
      },
      "half-day": { id: "half-day", action: "DELETE", condition: { tagState: "ANY", newerThan: "1.500s" } },
      keep: { id: "keep", action: "KEEP", mostRecentVersions: { keepCount: 5 } },
    });
  });

  it("is corrected with a mask that names what differs and nothing else; labels of others stay", async () => {
    stage.upstreams = [
      {
        host: "docker.io",
        credentials: { secretManagerVersion: { username: "acme", passwordSecretVersion: VERSION } },
      },
    ];
    const asked = rule({ options: { artifactRegistry: { description: "Docker Hub", labels: { team: "platform" } } } });
    await made(asked);
    const before = stage.fake.repositories.get(HUB) ?? {};
    stage.fake.repositories.set(HUB, {
      ...before,
      description: "changed",
      labels: { "managed-by": "entrepot", "cacherule-uid": UID, cost: "42" },
      remoteRepositoryConfig: { dockerRepository: { publicRepository: "DOCKER_HUB" } },
    });
    stage.fake.requests.length = 0;
    const request = stage.request(asked);
    const mask = ["description", "labels", "remoteRepositoryConfig.upstreamCredentials"];
    expect(await stage.step(request)).to.deep.equal({ do: "update", drift: mask });
    const found = await observed(asked);
    if (found === undefined) throw new Error("it is there");
    await stage.product.update(request, found, stage.signal);
    expect(stage.fake.writes).to.deep.equal([
      `PATCH /v1/${HUB}?updateMask=${mask.join("%2C")}&$alt=json%3Benum-encoding=int`,
    ]);
    const labels = before["labels"] as Record<string, string>;
    expect(labels["cacherule-credentials"]).to.match(/^[0-9a-f]{16}$/);
    expect(stage.fake.repositories.get(HUB)).to.deep.equal({ ...before, labels: { ...labels, cost: "42" } });
    expect(await stage.step(request)).to.deep.equal({ do: "nothing", adopted: false });
  });

  it("loses credentials and cleanup policies that are no longer declared", async () => {
    stage.upstreams = [
      {
        host: "docker.io",
        credentials: { secretManagerVersion: { username: "acme", passwordSecretVersion: VERSION } },
      },
    ];
    await made(
      rule({ options: { artifactRegistry: { cleanupPolicies: [{ id: "old", action: "Delete", olderThan: "1h" }] } } }),
    );
    stage.upstreams = [];
    const asked = rule({ options: { artifactRegistry: { cleanupPolicies: [] } } });
    const found = await observed(asked);
    if (found === undefined) throw new Error("it is there");
    await stage.product.update(stage.request(asked), found, stage.signal);
    const { cleanupPolicies = {}, remoteRepositoryConfig } = stage.fake.repositories.get(HUB) ?? {};
    expect(cleanupPolicies).to.deep.equal({});
    expect(remoteRepositoryConfig).to.deep.equal({ dockerRepository: { publicRepository: "DOCKER_HUB" } });
  });

  it("is only reported where the product can't change it back", async () => {
    const asked = rule({
      options: { artifactRegistry: { kmsKeyName: "projects/p/locations/l/keyRings/r/cryptoKeys/k" } },
    });
    await made();
    const step = await stage.step(stage.request(asked));
    expect(step).to.include({ do: "report", reason: "ImmutableChange" });
    expect(step).to.have.deep.property("drift", ["kmsKeyName"]);
  });

  it("never writes to another's repository of the name, whatever kind it is", async () => {
    const standard = { name: HUB, format: "DOCKER", mode: "STANDARD_REPOSITORY", createTime: "2025-01-01T00:00:00Z" };
    const hub = { dockerRepository: { publicRepository: "DOCKER_HUB" } };
    const remote = { ...standard, mode: "REMOTE_REPOSITORY", remoteRepositoryConfig: hub };
    const rulesOfOthers = [
      standard,
      { ...remote, remoteRepositoryConfig: { dockerRepository: { customRepository: { uri: "https://quay.io" } } } },
      { ...remote, remoteRepositoryConfig: { ...hub, noCache: {} } },
      { ...remote, format: "MAVEN" },
      { ...remote, labels: { "managed-by": "terraform" } },
      { ...remote, labels: { "managed-by": "entrepot", "cacherule-uid": "another" } },
    ];
    for (const repository of rulesOfOthers) {
      stage.fake.repositories.set(HUB, repository);
      expect(await stage.step(stage.request()), JSON.stringify(repository)).to.include({
        do: "report",
        reason: "ForeignRule",
      });
    }
    expect(stage.fake.writes).to.deep.equal([]);
  });

  it("takes over an unmarked repository that says the same in other words, if that is wanted", async () => {
    const uri = "https://registry-1.docker.io/";
    for (const remoteRepositoryConfig of [
      { commonRepository: { uri } },
      { dockerRepository: { customRepository: { uri } } },
    ]) {
      stage.fake.repositories.set(HUB, {
        name: HUB,
        format: "DOCKER",
        mode: "REMOTE_REPOSITORY",
        createTime: "2025-01-01T00:00:00Z",
        remoteRepositoryConfig,
      });
      expect(await stage.step(stage.request())).to.deep.equal({ do: "nothing", adopted: true });
      expect(await stage.step(stage.request(), {}, "Never")).to.include({ do: "report", reason: "ForeignRule" });
    }
  });

  it("leaves a repository that holds images, and deletes it with them when that is wanted", async () => {
    const request = stage.request();
    const found = await made();
    if (found === undefined) throw new Error("it is there");
    stage.fake.images.set(HUB, 3);
    stage.fake.requests.length = 0;
    const left = await stage.product.remove(request, found, false, stage.signal);
    expect(left).to.include({ done: false, reason: "LeftBehind" });
    expect(left).to.have.property("message").that.contains("DeleteWithImages");
    expect(stage.fake.writes).to.deep.equal([]);
    expect(await stage.product.remove(request, found, true, stage.signal)).to.deep.equal({ done: true });
    expect(stage.fake.repositories.size).to.equal(0);
  });

  it("deletes an empty repository, and one that is gone is deleted", async () => {
    const found = await made();
    if (found === undefined) throw new Error("it is there");
    for (let again = 0; again < 2; again++)
      expect(await stage.product.remove(stage.request(), found, true, stage.signal)).to.deep.equal({ done: true });
    expect(await observed()).to.equal(undefined);
  });

  it("costs one read at rest, however often it is looked at", async () => {
    await made();
    stage.fake.requests.length = 0;
    for (let pass = 0; pass < 5; pass++) await stage.step(stage.request());
    expect(stage.fake.requests).to.have.length(5);
    expect(stage.fake.writes).to.deep.equal([]);
  });
});
