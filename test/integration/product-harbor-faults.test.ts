import { expect } from "chai";
import { endpointName } from "../../core/product/harbor-endpoint.ts";
import { FakeHarbor } from "../support/harbor/fake.ts";
import { basicAuth, HarborStage, productFailure, SIGN_IN } from "../support/harbor/stage.ts";
import { selfSigned } from "../support/self-signed.ts";
import { specFile } from "../support/specs.ts";

const CONTRACT = specFile("harbor-v2.15.2-swagger.yaml");
const HUB = endpointName("main", "index.docker.io");

describe("What goes wrong with Harbor (contract fake, never run against Harbor)", function () {
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

  const rule = () => stage.request("ghcr.io/*", "ghcr/*", { options: { harbor: { storageLimit: "1Gi" } } });

  async function failure(promise: Promise<unknown>) {
    const thrown = await productFailure(promise);
    expect(thrown.message).to.not.contain(harbor.password);
    expect(thrown.message).to.not.contain(Buffer.from(`${harbor.username}:${harbor.password}`).toString("base64"));
    return thrown;
  }

  it("too many requests: nobody gets through until Harbor wants to be asked again", async () => {
    harbor.inject("GET", /\/registries/, {
      kind: "reply",
      status: 429,
      headers: { "retry-after": "70" },
      text: "<html>",
    });
    const first = await failure(stage.prepare("ghcr.io"));
    expect(first).to.include({ code: "PRODUCT_THROTTLED", reason: "Throttled", retryAfterMs: 70_000 });
    const asked = harbor.requests.length;
    const second = await failure(stage.observe(rule()));
    expect(second.code).to.equal("PRODUCT_THROTTLED");
    expect(second.retryAfterMs).to.be.within(10_000, 70_000);
    expect(harbor.requests.length).to.equal(asked);
  });

  it("a lost answer to the creation of an endpoint makes no second one", async () => {
    harbor.inject("POST", /\/registries$/, { kind: "cut" });
    expect((await failure(stage.prepare("ghcr.io"))).code).to.equal("PRODUCT_UNAVAILABLE");
    expect((await stage.prepare("ghcr.io")).ready).to.deep.equal({ done: true });
    expect(harbor.writes).to.deep.equal(["POST /api/v2.0/registries"]);
    expect(harbor.state.registries.size).to.equal(1);
  });

  for (const [what, isFoundAtOnce] of [
    ["which is found at once", true],
    ["which is found by the next pass", false],
  ] as const) {
    it(`a lost answer to the creation of a project, ${what}, makes no second one`, async () => {
      await stage.prepare("ghcr.io");
      harbor.inject("POST", /\/projects$/, { kind: "cut" });
      if (!isFoundAtOnce) harbor.inject("GET", /\/projects\?/, { kind: "cut" }, 1);
      const created = stage.pass(rule());
      if (isFoundAtOnce) await created;
      else expect((await failure(created)).code).to.equal("PRODUCT_UNAVAILABLE");
      stage.restart();
      expect(await stage.pass(rule())).to.deep.equal({ do: "nothing", adopted: false });
      expect(harbor.writes.filter((write) => write === "POST /api/v2.0/projects")).to.have.length(1);
      expect(harbor.state.projects.size).to.equal(1);
    });
  }

  it("half a project, without its quota, is made whole", async () => {
    await stage.prepare("ghcr.io");
    harbor.state.breaksNextProject = true;
    await stage.pass(rule());
    expect((await stage.pass(rule())).do).to.equal("nothing");
    expect([...harbor.state.quotas.values()]).to.deep.equal([2 ** 30]);
    expect(harbor.state.projects.size).to.equal(1);
  });

  it("half a project is known to be ours by a later process too, and one of somebody else is not", async () => {
    await stage.prepare("ghcr.io");
    harbor.state.breaksNextProject = true;
    harbor.inject("GET", /\/projects\?/, { kind: "cut" }, 1);
    await failure(stage.pass(rule()));
    stage.restart();
    expect(await stage.pass(rule())).to.deep.equal({ do: "update", drift: ["storage_limit"] });
    expect((await stage.pass(rule())).do).to.equal("nothing");
    const half = stage.request("ghcr.io/*", "half/*", { options: { harbor: { storageLimit: "1Gi" } } });
    harbor.state.addProject("half", harbor.state.registries.keys().next().value ?? 0);
    expect(await stage.pass(half)).to.include({ do: "report", reason: "ForeignRule" });
  });

  it("a rule makes the endpoint that it needs, and says that its project can't get another one", async () => {
    await stage.pass(rule());
    expect(harbor.writes).to.deep.equal(["POST /api/v2.0/registries", "POST /api/v2.0/projects"]);
    expect((await stage.pass(rule())).do).to.equal("nothing");
    harbor.state.registries.clear(); // as Harbor never lets it happen (412)
    await stage.prepare("ghcr.io");
    expect(await stage.pass(rule())).to.include({ do: "report", reason: "ImmutableChange" });
  });

  it("a project that appears between look and creation is left to the next look", async () => {
    await stage.prepare("ghcr.io");
    harbor.state.addProject("ghcr", 0);
    const thrown = await failure(stage.product.create(rule(), stage.signal));
    expect(thrown.code).to.equal("PRODUCT_BUSY");
    expect(harbor.state.projectNamed("ghcr")?.registryId).to.equal(0);
  });

  it("expired credentials, and ones without the right", async () => {
    stage.put(basicAuth(SIGN_IN, harbor.username, "stale-password", "2"));
    const expired = await failure(stage.prepare("ghcr.io"));
    expect(expired).to.include({ code: "PRODUCT_UNAUTHENTICATED", reason: "SignInFailed" });
    expect(expired.message)
      .to.contain(`Secret "${SIGN_IN}" in namespace cosign-system`)
      .and.not.contain("stale-password");
    stage.put(basicAuth(SIGN_IN, harbor.username, harbor.password, "3"));
    await stage.prepare("ghcr.io");
    harbor.state.isAdmin = false;
    expect((await failure(stage.prepare("ghcr.io"))).code).to.equal("PRODUCT_FORBIDDEN");
    stage.secrets.clear();
    const missing = await failure(stage.prepare("ghcr.io"));
    expect(missing).to.include({ code: "PRODUCT_UNAUTHENTICATED", reason: "SecretNotFound" });
    expect(missing.message).to.contain(SIGN_IN).and.contain("cosign-system").and.contain("password");
  });

  it("answers that are no Harbor's: garbage, a web page, too much, a redirect, none, half of one", async () => {
    const other = new FakeHarbor(CONTRACT ?? "");
    await other.start();
    const reply = (status: number, text: string, headers = {}) => ({ kind: "reply", status, text, headers }) as const;
    const cases = [
      [reply(200, "{not json"), "PRODUCT_MALFORMED"],
      [reply(200, '{"a":1}'), "PRODUCT_MALFORMED"],
      [reply(200, '[{"id":"x"}]'), "PRODUCT_MALFORMED"],
      [reply(200, `[${" ".repeat(9 * 1024 * 1024)}]`), "PRODUCT_MALFORMED"],
      [reply(404, `<html>${harbor.password}</html>`), "PRODUCT_REGISTRY_NOT_FOUND"],
      [reply(418, `{"errors":[{"code":"<b>","message":"${harbor.password}"}]}`), "PRODUCT_REFUSED"],
      [reply(502, harbor.password.repeat(10_000)), "PRODUCT_UNAVAILABLE"],
      [reply(302, "", { location: `${other.url}/api/v2.0/registries` }), "PRODUCT_REFUSED"],
      [{ kind: "cut" }, "PRODUCT_UNAVAILABLE"],
    ] as const;
    for (const [fault, code] of cases) {
      harbor.inject("GET", /\/registries/, fault);
      expect((await failure(stage.prepare("ghcr.io"))).code).to.equal(code);
    }
    expect(other.requests).to.deep.equal([]);
    await other.stop();
    const hurried = new HarborStage(harbor, { deadlineMs: 300 });
    harbor.inject("GET", /\/registries/, { kind: "stall" });
    expect((await failure(hurried.prepare("ghcr.io"))).code).to.equal("PRODUCT_TIMEOUT");
  });

  it("upstreams that keep Harbor waiting keep no other from being looked at, and no endpoint that is not wanted", async () => {
    const hurried = new HarborStage(harbor, {}, { upstreamMs: 10_000 });
    hurried.put(basicAuth("hub-reader", "reader", "hub-token"));
    hurried.upstreams = [{ host: "docker.io", credentials: { secretRef: { name: "hub-reader" } } }];
    harbor.state.upstream("https://hub.docker.com").passwords.set("reader", "hub-token");
    await hurried.prepare("docker.io", "registry.k8s.io");
    const hub = harbor.state.registryNamed(HUB) ?? expect.fail("no endpoint");
    hub.status = "unhealthy";
    harbor.inject("POST", /\/registries\/ping$/, { kind: "stall" }, 0, /hub\.docker\.com/);
    harbor.inject("POST", /\/registries$/, { kind: "stall" }, 0, /ghcr\.io/);
    const asked = hurried.prepareWithin(AbortSignal.timeout(40_000), "docker.io", "ghcr.io", "quay.io");
    const { ready, upstreams, credentials } = await asked;
    expect(ready).to.deep.equal({ done: true });
    expect(upstreams).to.deep.equal([
      { host: "docker.io", health: "Unhealthy", reason: "UpstreamUnreachable", remoteId: String(hub.id) },
      { host: "ghcr.io", health: "Unhealthy", reason: "UpstreamUnreachable" },
      { host: "quay.io", health: "Healthy", reason: "Reachable", remoteId: upstreams[2]?.remoteId },
    ]);
    expect(credentials?.status).to.equal("Unknown");
    const left = [...harbor.state.registries.values()].map(({ url }) => url);
    expect(left).to.deep.equal(["https://hub.docker.com", "https://quay.io"]);
  });

  it("an endpoint that Harbor makes when nobody waits for it any more is found, and not made twice", async () => {
    const hurried = new HarborStage(harbor, {}, { upstreamMs: 3_000 });
    harbor.inject("POST", /\/registries$/, { kind: "silent" });
    const { upstreams } = await hurried.prepare("ghcr.io");
    expect(upstreams).to.deep.equal([{ host: "ghcr.io", health: "Unhealthy", reason: "UpstreamUnreachable" }]);
    expect((await stage.prepare("ghcr.io")).upstreams[0]).to.include({ reason: "Reachable" });
    expect(harbor.writes).to.deep.equal(["POST /api/v2.0/registries"]);
    expect(harbor.state.registries.size).to.equal(1);
  });

  it("no Harbor there, and one that is not trusted", async () => {
    const stranger = Object.create(harbor, {
      ca: { value: selfSigned().cert },
      url: { value: harbor.url },
    }) as FakeHarbor;
    Object.defineProperty(stranger, "username", { value: harbor.username });
    const untrusting = new HarborStage(harbor);
    Object.assign(untrusting, { harbor: stranger });
    const untrusted = await failure(untrusting.prepare("ghcr.io"));
    expect(untrusted.code).to.equal("PRODUCT_UNAVAILABLE");
    expect(untrusted.message).to.contain("caBundleRef");
    expect(harbor.requests).to.deep.equal([]);
    await harbor.stop();
    const away = await failure(stage.prepare("ghcr.io"));
    expect(away.code).to.equal("PRODUCT_UNAVAILABLE");
    expect(away.message).to.contain("ECONNREFUSED");
  });

  it("settings that this Harbor does not have are said to be, not written for ever", async () => {
    await stage.prepare("ghcr.io");
    harbor.state.unknownMetadata.add("max_upstream_conn");
    harbor.state.hasQuotas = false;
    const connections = stage.request("ghcr.io/*", "a/*", { options: { harbor: { maxUpstreamConnections: 3 } } });
    await stage.pass(connections);
    const found = (await stage.observe(connections)) ?? expect.fail();
    const dropped = await failure(stage.product.update(connections, found, stage.signal));
    expect(dropped).to.include({ code: "PRODUCT_REFUSED", reason: "InvalidSpec" });
    expect(dropped.message).to.contain("max_upstream_conn");
    const limited = stage.request("ghcr.io/*", "b/*", { options: { harbor: { storageLimit: "1Gi" } } });
    await stage.pass(limited);
    const unlimited = (await stage.observe(limited)) ?? expect.fail();
    expect(unlimited.differences).to.deep.equal([{ field: "storage_limit", correctable: true }]);
    const quota = await failure(stage.product.update(limited, unlimited, stage.signal));
    expect(quota.message).to.contain("QUOTA_PER_PROJECT_ENABLE");
    harbor.state.permitted = ["harbor"];
    const type = await failure(stage.pass(stage.request("ghcr.io/*", "c/*")));
    expect(type).to.include({ code: "PRODUCT_REFUSED", reason: "UnsupportedUpstream" });
  });

  it("a project whose name is digits is not taken for the project of that id", async () => {
    await stage.prepare("ghcr.io");
    const other = harbor.state.addProject("other", 0);
    const digits = stage.request("ghcr.io/*", `${other.id}/*`);
    await stage.pass(digits);
    await stage.pass(digits);
    Object.assign(harbor.state.projectNamed(String(other.id))?.metadata ?? {}, { public: "true" });
    expect((await stage.pass(digits)).do).to.equal("update");
    expect(harbor.state.projectNamed(String(other.id))?.metadata["public"]).to.equal("false");
    expect(await stage.remove(digits, true)).to.deep.equal({ done: true });
    expect(harbor.state.projects.get(other.id)).to.equal(other);
  });
});
