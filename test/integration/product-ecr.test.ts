import { expect } from "chai";
import { ACCOUNT, ecrRegistry, ecrRequest, HUB_SECRET, productFailure } from "../support/ecr/harness.ts";
import { withFakeEcr } from "../support/ecr/suite.ts";

const HUB = { source: "docker.io/*", target: "hub/*" };

describe("Amazon ECR's rules (contract fake by botocore's model, through AWS's SDK, never run against AWS)", function () {
  this.timeout(120_000);
  const suite = withFakeEcr();
  const registry = (change = {}) => ecrRegistry(change, { endpoint: suite.fake.endpoint });
  const request = (change = {}, of = registry()) => ecrRequest({ ...HUB, ...change }, of);

  it("are made, found again as declared, and taken away, images left", async () => {
    expect(await suite.harness.step(request())).to.deep.equal({ do: "create", drift: [] });
    const { createdAt: _createdAt, ...made } = suite.fake.state.rules.get("hub") ?? {};
    expect(made).to.deep.equal({
      registryId: ACCOUNT,
      ecrRepositoryPrefix: "hub",
      upstreamRegistry: "docker-hub",
      upstreamRegistryUrl: "registry-1.docker.io",
      upstreamRepositoryPrefix: "ROOT",
      credentialArn: HUB_SECRET,
    });
    expect(await suite.harness.step(request())).to.deep.equal({ do: "nothing", adopted: false });
    const found = await suite.harness.observe(request());
    expect(found?.createdAt).to.match(/^2025-10-09T.*Z$/);
    if (found === undefined) throw new Error("not found");
    expect(await suite.harness.product.remove(request(), found, false, suite.harness.signal)).to.deep.equal({
      done: true,
    });
    expect(suite.fake.state.rules.size).to.equal(0);
    // Again, as after a lost answer.
    expect(await suite.harness.product.remove(request(), found, false, suite.harness.signal)).to.deep.equal({
      done: true,
    });
    expect(await suite.harness.observe(request())).to.equal(undefined);
  });

  it("write nothing at rest", async () => {
    await suite.harness.step(request());
    const { length } = suite.fake.writes;
    for (let pass = 0; pass < 5; pass++) expect((await suite.harness.step(request())).do).to.equal("nothing");
    expect(suite.fake.writes).to.have.length(length);
  });

  it("take a whole registry under ROOT, and a path of another private ECR with a role", async () => {
    expect((await suite.harness.step(request({ source: "quay.io/*", target: "*" }))).do).to.equal("create");
    expect(suite.fake.state.rules.get("ROOT")).to.include({ upstreamRegistryUrl: "quay.io", upstreamRegistry: "quay" });
    const roleArn = `arn:aws:iam::${ACCOUNT}:role/reader`;
    const host = "444455556666.dkr.ecr.us-east-1.amazonaws.com";
    const other = ecrRequest(
      { source: `${host}/team-a/*`, target: "team/*" },
      registry({ upstreams: [{ host, credentials: { roleArn } }] }),
      "other",
    );
    expect((await suite.harness.step(other)).do).to.equal("create");
    expect(suite.fake.state.rules.get("team")).to.include({
      upstreamRepositoryPrefix: "team-a",
      customRoleArn: roleArn,
      upstreamRegistry: "ecr",
    });
    expect((await suite.harness.step(other)).do).to.equal("nothing");
  });

  it("have another secret put in its place, but none taken away", async () => {
    await suite.harness.step(request());
    await suite.harness.step(request());
    const secretsManagerArn = HUB_SECRET.replace("hub-", "hub2-");
    suite.fake.state.secrets.add(secretsManagerArn);
    const changed = request({}, registry({ upstreams: [{ host: "docker.io", credentials: { secretsManagerArn } }] }));
    expect(await suite.harness.step(changed)).to.deep.equal({ do: "update", drift: ["credentialArn"] });
    expect(suite.fake.state.rules.get("hub")).to.include({ credentialArn: secretsManagerArn });
    expect((await suite.harness.step(changed)).do).to.equal("nothing");
    const quay = {
      ecrRepositoryPrefix: "quay",
      upstreamRegistryUrl: "quay.io",
      credentialArn: HUB_SECRET,
      createdAt: 1,
    };
    suite.fake.state.rules.set("quay", quay);
    const plain = request({ source: "quay.io/*", target: "quay/*" });
    expect((await suite.harness.observe(plain))?.differences).to.deep.equal([
      { field: "credentialArn", correctable: false },
    ]);
  });

  it("are made again when they are gone, and only reported if that is wanted", async () => {
    await suite.harness.step(request());
    await suite.harness.step(request());
    suite.fake.state.rules.clear();
    const report = await suite.harness.step(request({}, registry({ driftPolicy: "Report" })));
    expect(report).to.include({ do: "report", reason: "Drifted" });
    expect(suite.fake.state.rules.size).to.equal(0);
    expect(await suite.harness.step(request())).to.deep.equal({ do: "create", drift: ["*"] });
  });

  it("are left alone when another made one of the same prefix, and taken over when it says the same", async () => {
    const foreign = { ecrRepositoryPrefix: "hub", upstreamRegistryUrl: "public.ecr.aws", createdAt: 1_700_000_000 };
    suite.fake.state.rules.set("hub", foreign);
    expect(await suite.harness.step(request())).to.include({ do: "report", reason: "ForeignRule" });
    expect(suite.fake.writes).to.deep.equal([]);
    expect(suite.fake.state.rules.get("hub")).to.equal(foreign);
    // Old rules have no upstreamRegistry; Docker Hub's URL has been spelled in several ways.
    suite.fake.state.rules.set("hub", {
      ...foreign,
      upstreamRegistryUrl: "https://Registry-1.docker.io/",
      credentialArn: HUB_SECRET,
    });
    expect(await suite.harness.step(request())).to.deep.equal({ do: "nothing", adopted: true });
    expect(suite.fake.writes).to.deep.equal([]);
  });

  it("that were made by another in the meantime are not ours: busy, then decided anew", async () => {
    suite.fake.state.rules.set("hub", { ecrRepositoryPrefix: "hub", upstreamRegistryUrl: "quay.io", createdAt: 5 });
    await productFailure("PRODUCT_BUSY", suite.harness.product.create(request(), suite.harness.signal));
    expect(await suite.harness.step(request())).to.include({ do: "report", reason: "ForeignRule" });
  });

  it("read with any case of ECR's enums", async () => {
    await suite.harness.step(request());
    suite.fake.fault = () => ({
      kind: "respell",
      as: (body) => JSON.parse(JSON.stringify(body).replaceAll("docker-hub", "DOCKER-HUB")) as typeof body,
    });
    expect((await suite.harness.step(request())).do).to.equal("nothing");
  });

  it("need an account that answers: sign-in is checked, and nothing else is asked", async () => {
    const wanted = [
      { host: "index.docker.io", used: true },
      { host: "docker.example.com", used: false },
    ];
    expect(await suite.harness.product.prepare(registry(), wanted, suite.harness.signal)).to.deep.equal({
      ready: { done: true },
      upstreams: [
        { host: "docker.io" },
        { host: "docker.example.com", health: "Unhealthy", reason: "UnsupportedUpstream" },
      ],
    });
    expect(suite.fake.calls).to.deep.equal([
      { operation: "DescribePullThroughCacheRules", body: { registryId: ACCOUNT, maxResults: 1 } },
    ]);
    expect(await suite.harness.product.withdraw(registry())).to.deep.equal({ done: true });
  });

  it("say whether the upstream takes the credentials, asking once in a drift interval", async () => {
    await suite.harness.step(request());
    const health = async (of = request()) => await suite.harness.product.credentials(of, suite.harness.signal);
    const asked = () => suite.fake.operations.filter((name) => name.startsWith("Validate")).length;
    expect(await health()).to.deep.equal({
      status: "True",
      message: "ECR reached docker.io, which takes the credentials",
    });
    suite.fake.state.validation = {
      isValid: false,
      failure: "The authentication to the upstream registry failed: leaked-7d1f",
    };
    expect(await health()).to.include({ status: "True" });
    expect(asked()).to.equal(1);
    suite.harness.aheadMs += 600_000;
    const bad = await health();
    expect(bad?.status).to.equal("False");
    expect(bad?.message).to.contain("put valid ones into the secret").and.not.contain("leaked");
    await health();
    expect(asked()).to.equal(2);
    suite.fake.state.validation = { isValid: true };
    suite.harness.aheadMs += 60_000; // sooner than a good verdict
    expect(await health()).to.include({ status: "True" });
    const annotated = request();
    const annotations = { "entrepot.dev/reconcile-at": "now" };
    const now = { ...annotated, rule: { ...annotated.rule, metadata: { ...annotated.rule.metadata, annotations } } };
    await health(now);
    expect(asked()).to.equal(4);
    expect(await health(request({ source: "quay.io/*", target: "quay/*" }))).to.equal(undefined);
    expect(asked()).to.equal(4);
  });
});
