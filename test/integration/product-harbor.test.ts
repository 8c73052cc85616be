import { expect } from "chai";
import { endpointName } from "../../core/product/harbor-endpoint.ts";
import { HarborContract } from "../support/harbor/contract.ts";
import { FakeHarbor } from "../support/harbor/fake.ts";
import { basicAuth, HarborStage, productFailure } from "../support/harbor/stage.ts";
import { specFile } from "../support/specs.ts";

const CONTRACT = specFile("harbor-v2.15.2-swagger.yaml");
const GHCR = endpointName("main", "ghcr.io");

describe("Harbor (contract fake, never run against Harbor)", function () {
  this.timeout(120_000);
  let harbor: FakeHarbor;
  let stage: HarborStage;

  before(function () {
    if (CONTRACT !== undefined) return;
    console.log("skipped: Harbor's API description is not to be had (set ENTREPOT_SPECS)");
    this.skip();
  });
  beforeEach(async () => {
    harbor = new FakeHarbor(CONTRACT ?? "");
    await harbor.start();
    stage = new HarborStage(harbor);
  });
  afterEach(async () => {
    await harbor?.stop();
    expect(harbor?.deviations ?? []).to.deep.equal([]);
  });

  function withCredentials(password = "token-one", version = "1"): void {
    stage.put(basicAuth("ghcr-reader", "reader", password, version));
    stage.upstreams = [{ host: "ghcr.io", credentials: { secretRef: { name: "ghcr-reader" } } }];
  }

  it("goes through a rule's whole life, and rests without a write", async () => {
    const rule = stage.request("ghcr.io/*", "ghcr/*", {
      options: { harbor: { public: true, bandwidthKbps: 4096, maxUpstreamConnections: 8, storageLimit: "100Gi" } },
    });
    expect(stage.product.judge(rule)).to.equal(undefined);
    const outcome = await stage.prepare("ghcr.io");
    expect(outcome.ready).to.deep.equal({ done: true });
    expect(outcome.credentials).to.equal(undefined);
    expect(outcome.upstreams).to.deep.equal([
      { host: "ghcr.io", health: "Healthy", reason: "Reachable", remoteId: "1" },
    ]);
    expect(harbor.state.registryNamed(GHCR)).to.include({
      type: "github-ghcr",
      url: "https://ghcr.io",
      insecure: false,
    });

    expect((await stage.pass(rule)).do).to.equal("create");
    const project = harbor.state.projectNamed("ghcr");
    expect(project?.metadata).to.include({ public: "true", proxy_speed_kb: "4096", max_upstream_conn: "8" });
    expect(harbor.state.quotas.get(project?.id ?? 0)).to.equal(100 * 2 ** 30);
    expect(project?.registryId).to.equal(1);

    const writes = harbor.writes.length;
    stage.restart();
    for (let pass = 0; pass < 3; pass++) {
      await stage.prepare("ghcr.io");
      expect(await stage.pass(rule)).to.deep.equal({ do: "nothing", adopted: false });
    }
    expect(harbor.writes.length).to.equal(writes);

    expect(await stage.remove(rule, false)).to.deep.equal({ done: true });
    expect(await stage.product.withdraw(stage.registry, stage.signal)).to.deep.equal({ done: true });
    expect(harbor.state.projects.size + harbor.state.registries.size).to.equal(0);
    expect(await stage.remove(rule, false)).to.deep.equal({ done: true });
  });

  it("shares one endpoint among the rules of an upstream", async () => {
    await stage.prepare("docker.io");
    await stage.pass(stage.request("docker.io/*", "hub/*"));
    await stage.pass(stage.request("docker.io/*", "hub-public/*", { options: { harbor: { public: true } } }));
    expect(harbor.state.registries.size).to.equal(1);
    expect([...harbor.state.registries.values()][0]).to.include({ type: "docker-hub", url: "https://hub.docker.com" });
    expect([...harbor.state.projects.values()].map(({ registryId }) => registryId)).to.deep.equal([1, 1]);
  });

  it("corrects what was changed and leaves the settings alone that are not its own", async () => {
    await stage.prepare("ghcr.io");
    const rule = stage.request("ghcr.io/*", "ghcr/*", { options: { harbor: { storageLimit: "1Gi" } } });
    await stage.pass(rule);
    await stage.pass(rule);
    const project = harbor.state.projectNamed("ghcr");
    const retention = project?.metadata["retention_id"];
    Object.assign(project?.metadata ?? {}, { public: "true", proxy_speed_kb: "10", auto_scan: "true" });
    harbor.state.quotas.set(project?.id ?? 0, 5);
    expect((await stage.pass(rule, "Report")).do).to.equal("report");
    expect(project?.metadata["public"]).to.equal("true");
    const step = await stage.pass(rule);
    expect(step).to.deep.equal({ do: "update", drift: ["public", "proxy_speed_kb", "storage_limit"] });
    expect(project?.metadata).to.include({
      public: "false",
      proxy_speed_kb: "-1",
      auto_scan: "true",
      retention_id: retention,
    });
    expect(harbor.state.quotas.get(project?.id ?? 0)).to.equal(2 ** 30);
    expect((await stage.pass(rule)).do).to.equal("nothing");
  });

  it("makes a rule again whose project is gone, and not one that was made anew by somebody else", async () => {
    await stage.prepare("ghcr.io");
    const rule = stage.request("ghcr.io/*", "ghcr/*");
    await stage.pass(rule);
    await stage.pass(rule);
    harbor.state.projects.clear();
    expect(await stage.pass(rule)).to.deep.equal({ do: "create", drift: ["*"] });
    await stage.pass(rule);
    harbor.state.projects.clear();
    harbor.state.addProject("ghcr", 77);
    const writes = harbor.writes.length;
    expect(await stage.pass(rule)).to.include({ do: "report", reason: "ForeignRule" });
    expect(harbor.writes.length).to.equal(writes);
  });

  it("never writes to a project or an endpoint of the same name that is another's", async () => {
    const foreign = harbor.state.addRegistry({ name: GHCR, description: "managed by entrepot another-uid anonymous" });
    const project = harbor.state.addProject("ghcr", foreign.id, { public: "true" });
    const before = JSON.stringify([foreign, project]);
    const outcome = await stage.prepare("ghcr.io");
    expect(outcome.ready).to.include({ done: false, reason: "ForeignRule" });
    expect(await stage.pass(stage.request("ghcr.io/*", "ghcr/*"))).to.include({ do: "report", reason: "ForeignRule" });
    const failure = await productFailure(stage.pass(stage.request("ghcr.io/*", "other/*")));
    expect(failure).to.include({ code: "PRODUCT_REFUSED", reason: "ForeignRule" });
    expect(failure.message).to.contain(`managed by entrepot ${stage.uid}`);
    await stage.product.withdraw(stage.registry, stage.signal);
    expect(harbor.writes).to.deep.equal([]);
    expect(JSON.stringify([foreign, project])).to.equal(before);
  });

  it("takes over an endpoint that is handed over by its description, and the identical projects on it", async () => {
    withCredentials();
    harbor.state.upstream("https://ghcr.io").passwords.set("reader", "token-one");
    await stage.prepare("ghcr.io");
    await stage.pass(stage.request("ghcr.io/*", "ghcr/*"));
    stage.uid = "restored-uid";
    const restored = new HarborStage(harbor);
    Object.assign(restored, { uid: stage.uid, upstreams: stage.upstreams });
    for (const secret of stage.secrets.values()) restored.put(secret);
    expect((await restored.prepare("ghcr.io")).ready).to.include({ reason: "ForeignRule" });
    Object.assign(harbor.state.registryNamed(GHCR) ?? {}, { description: "managed by entrepot restored-uid" });
    expect((await restored.prepare("ghcr.io")).ready).to.deep.equal({ done: true });
    expect(await restored.pass(restored.request("ghcr.io/*", "ghcr/*"))).to.deep.equal({
      do: "nothing",
      adopted: true,
    });
  });

  it("leaves a project with images unless they may go, then deletes them some at a time", async () => {
    await stage.prepare("ghcr.io");
    const rule = stage.request("ghcr.io/*", "ghcr/*");
    await stage.pass(rule);
    const repositories = harbor.state.projectNamed("ghcr")?.repositories;
    for (let index = 0; index < 120; index++) repositories?.add(`team/deep/image-${index}`);
    const writes = harbor.writes.length;
    expect(await stage.remove(rule, false)).to.include({ done: false, reason: "LeftBehind" });
    expect(harbor.writes.length).to.equal(writes);
    expect(await stage.product.withdraw(stage.registry, stage.signal)).to.include({ done: false, reason: "Deleting" });
    const left: (number | undefined)[] = [];
    for (let pass = 0; pass < 3; pass++) {
      expect((await stage.remove(rule, true)).done).to.equal(pass === 2);
      left.push(harbor.state.projectNamed("ghcr")?.repositories.size);
    }
    expect(left).to.deep.equal([70, 20, undefined]);
    expect(await stage.product.withdraw(stage.registry, stage.signal)).to.deep.equal({ done: true });
  });

  it("does not delete a project that took the place of the one that was found", async () => {
    await stage.prepare("ghcr.io");
    const rule = stage.request("ghcr.io/*", "ghcr/*");
    await stage.pass(rule);
    const found = await stage.observe(rule);
    harbor.state.projects.clear();
    harbor.state.addProject("ghcr", 1);
    const writes = harbor.writes.length;
    expect(await stage.product.remove(rule, found ?? expect.fail(), true, stage.signal)).to.deep.equal({ done: true });
    const failure = await productFailure(stage.product.update(rule, found ?? expect.fail(), stage.signal));
    expect(failure.code).to.equal("PRODUCT_BUSY");
    expect(harbor.writes.length).to.equal(writes);
  });

  it("has a judge that finds broken requests and broken answers", () => {
    const contract = new HarborContract(CONTRACT ?? "");
    const path = "/api/v2.0/projects";
    const headers = { "content-type": "application/json" };
    const good = { method: "POST", path, headers, requestBody: { project_name: "a", registry_id: 1 }, status: 201 };
    expect(contract.deviations(good)).to.deep.equal([]);
    const errors = { errors: [{ code: "CONFLICT", message: "x" }] };
    expect(contract.deviations({ ...good, status: 409, body: errors })).to.deep.equal([]);
    for (const broken of [
      { ...good, requestBody: { project_name: "a", registry_id: "1" } },
      { ...good, requestBody: { name: "a" } },
      { ...good, requestBody: undefined },
      { ...good, headers: {} },
      { ...good, path: `${path}?dry_run=true` },
      { ...good, path: "/api/v2.0/project" },
      { ...good, status: 202 },
      { ...good, status: 409, body: { error: "x" } },
      { method: "GET", path: `${path}?page_size=101`, headers, status: 200, body: [] },
      { method: "GET", path, headers, status: 200, body: [{ name: 1 }] },
      { method: "GET", path, headers, status: 200, body: [{ name: "a", creation_time: "yesterday" }] },
      { method: "GET", path, headers, status: 200, body: [{ name: "a", colour: "red" }] },
    ])
      expect(contract.deviations(broken), JSON.stringify(broken)).to.have.length.above(0);
  });
});
