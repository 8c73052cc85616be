import { randomBytes } from "node:crypto";
import { expect } from "chai";
import { PRIVATE_HEADER } from "../../core/gatewayaccess/names.ts";
import { AccessStage, basic, basicAuth } from "./gateway-access-harness.ts";
import { Cleanup, Distribution } from "./gateway-harness.ts";

const MARKED = { [PRIVATE_HEADER]: ["true"] };
const PRIVATE = "private.local:5000";
const OPEN = "open.local:5000";
const LATE = "late.local:5000";
const CREDENTIALS = { secretRef: { name: "upstream" } };
const CLIENTS = { secretRefs: [{ name: "ci" }, { name: "nodes" }] };

describe("Private content behind the gateway", () => {
  const cleanup = new Cleanup();
  const password = randomBytes(12).toString("base64url");
  let stage: AccessStage;
  let privateProxy: Distribution;
  let image: Awaited<ReturnType<Distribution["pushImage"]>>;
  const manifest = "/v2/private/app/manifests/v1";

  before(async function () {
    this.timeout(0);
    const withAuth = await Distribution.start(cleanup, { auth: true });
    const open = await Distribution.start(cleanup);
    image = await withAuth.pushImage("acme/app", "v1", randomBytes(100_000));
    await open.pushImage("acme/app", "v1", randomBytes(1_000));
    privateProxy = await Distribution.start(cleanup, { upstream: withAuth, headers: MARKED });
    const openProxy = await Distribution.start(cleanup, { upstream: open });
    stage = new AccessStage(cleanup, {
      spec: { clients: CLIENTS },
      upstreams: [{ host: PRIVATE, credentials: CREDENTIALS }, { host: OPEN }],
      origins: { [PRIVATE]: privateProxy.origin, [OPEN]: openProxy.origin, [LATE]: privateProxy.origin },
    });
    await stage.open();
    stage.secrets.set("ci", basicAuth("ci", "ci", password));
    stage.secrets.set("nodes", basicAuth("nodes", "nodes", "another-password"));
    await stage.render();
    await stage.rule("private", `${PRIVATE}/acme/app`, "private/app");
    await stage.rule("open", `${OPEN}/acme/app`, "open/app");
    await stage.rule("late", `${LATE}/acme/app`, "late/app");
    await stage.start();
    await stage.answers(200, "/v2/open/app/manifests/v1");
  });
  after(() => cleanup.run());

  it("is not given to anybody, and the answer says what to do", async () => {
    const before = privateProxy.requests.length;
    for (const path of [manifest, `/v2/private/app/blobs/${image.layer}`, "/v2/private/app/tags/list"]) {
      const answer = await stage.get(path);
      expect([answer.status, answer.error?.code], path).to.deep.equal([401, "UNAUTHORIZED"]);
      expect(answer.headers.get("www-authenticate")).to.equal(
        `Basic realm="entrepot cache ${stage.registry}", charset="UTF-8"`,
      );
      expect(answer.error?.message)
        .to.include(`CacheRegistry "${stage.registry}"`)
        .and.include("spec.inCluster.clients.secretRefs")
        .and.include("imagePullSecrets");
    }
    expect((await stage.get(manifest, {}, "HEAD")).status).to.equal(401);
    expect(privateProxy.requests.length, "nobody was asked").to.equal(before);
  });

  for (const [what, shown] of Object.entries({
    "another password": basic("ci", "no"),
    "another user's password": basic("nodes", password),
    "an unknown user": basic("root", password),
    "an empty user": basic("", ""),
    "no base64": { authorization: "Basic ???" },
    "no colon": { authorization: `Basic ${Buffer.from("ci").toString("base64")}` },
    "another scheme": { authorization: "Digest username=ci" },
    "a bearer token where no ServiceAccount may pull": { authorization: "Bearer abc.def.ghi" },
    "the upstream's own credentials": basic("test", "test"),
    "two kilobytes": basic("ci", "x".repeat(2048)),
  })) {
    it(`is not given for ${what}`, async () => {
      const answer = await stage.get(manifest, shown);
      expect([answer.status, answer.error?.code]).to.deep.equal([401, "UNAUTHORIZED"]);
    });
  }

  it("is given to a user of a Secret, who is named in the log; the password is nowhere", async () => {
    const shown = basic("ci", password);
    expect((await stage.get(manifest, shown)).status).to.equal(200);
    const blob = await stage.get(`/v2/private/app/blobs/${image.layer}`, shown);
    expect([blob.status, blob.body.length]).to.deep.equal([200, 100_000]);
    expect((await stage.get(manifest, basic("nodes", "another-password"))).status).to.equal(200);
    expect(stage.output).to.include('"user":"ci"').and.not.include(password);
    expect(stage.output).to.not.include(Buffer.from(`ci:${password}`).toString("base64"));
    expect(blob.headers.has(PRIVATE_HEADER), "the mark stays inside").to.equal(false);
  });

  it("leaves what is open open, whatever a client shows", async () => {
    for (const shown of [{}, basic("", ""), basic("ci", "wrong"), { authorization: "nonsense" }])
      expect((await stage.get("/v2/open/app/manifests/v1", shown)).status).to.equal(200);
  });

  it("makes /v2/ ask, as docker, skopeo and CRI-O need it", async () => {
    const asked = await stage.get("/v2/");
    expect([asked.status, asked.headers.get("docker-distribution-api-version")]).to.deep.equal([401, "registry/2.0"]);
    expect((await stage.get("/v2/", basic("", ""))).status).to.equal(401);
    expect((await stage.get("/v2/", basic("ci", "wrong"))).status, "a login with a wrong password").to.equal(401);
    expect((await stage.get("/v2/", basic("ci", password))).status).to.equal(200);
  });

  it("is listed to clients only", async () => {
    const list = async (shown = {}) => JSON.parse((await stage.get("/v2/_catalog", shown)).body.toString()) as unknown;
    expect(await list()).to.deep.equal({ repositories: ["open/app"] });
    expect(await list(basic("ci", password)))
      .to.have.property("repositories")
      .that.includes("private/app");
    expect((await stage.get("/v2/_catalog", basic("ci", "wrong"))).status).to.equal(401);
  });

  it("stays private when the gateway has not heard of the credentials yet: the proxy marks what it answers", async () => {
    const late = "/v2/late/app/manifests/v1";
    for (const path of [
      late,
      `/v2/late/app/blobs/${image.layer}`,
      "/v2/late/app/tags/list",
      "/v2/late/app/manifests/no",
    ])
      expect((await stage.get(path)).status, path).to.equal(401);
    expect((await stage.get(late, basic("ci", password))).status).to.equal(200);
  });

  it("is asked for from the moment an upstream has credentials, and no longer when it has none", async () => {
    const open = "/v2/open/app/manifests/v1";
    const others = [{ host: PRIVATE, credentials: CREDENTIALS }];
    await stage.patch({ upstreams: [...others, { host: OPEN, credentials: CREDENTIALS }] });
    await stage.answers(401, open);
    expect((await stage.get(open, basic("ci", password))).status).to.equal(200);
    await stage.patch({ upstreams: [...others, { host: OPEN }] });
    await stage.answers(200, open);
  });

  it("follows a rotated password without a restart, and refuses the old one", async () => {
    await stage.render();
    stage.secrets.set("ci", basicAuth("ci", "ci", "rotated"));
    await stage.render();
    await stage.answers(200, manifest, basic("ci", "rotated"));
    expect((await stage.get(manifest, basic("ci", password))).status).to.equal(401);
    expect((await stage.get(manifest, basic("nodes", "another-password"))).status, "control").to.equal(200);
  });

  it("goes on with the last good document when a new one is broken, and says so once", async () => {
    stage.mount.write({ "access.json": '{"version":1,"users":[{"username":"ci"}]}' });
    await stage.answers(200, manifest, basic("nodes", "another-password"));
    const told = () => stage.output.split("has no sound user at position 0").length - 1;
    while (told() === 0) await new Promise((resolve) => setTimeout(resolve, 50));
    await new Promise((resolve) => setTimeout(resolve, 2_500)); // two more looks
    expect(told()).to.equal(1);
    expect((await stage.get(manifest, basic("nodes", "another-password"))).status).to.equal(200);
    expect((await stage.get(manifest)).status).to.equal(401);
    await stage.render();
  });

  it("is taken from a user whose Secret spec no longer names, at once", async () => {
    await stage.patch({ inCluster: { clients: { secretRefs: [{ name: "ci" }] } } });
    await stage.answers(401, manifest, basic("nodes", "another-password"));
    expect((await stage.get(manifest, basic("ci", "rotated"))).status, "control").to.equal(200);
    await stage.patch({ inCluster: { clients: CLIENTS } });
    await stage.answers(200, manifest, basic("nodes", "another-password"));
  });

  it("is for everybody where the registry says anonymous, marked or not, and only there", async () => {
    await stage.patch({ inCluster: { anonymous: true, clients: null } });
    await stage.answers(200, manifest);
    expect((await stage.get("/v2/late/app/manifests/v1")).status).to.equal(200);
    expect((await stage.get("/v2/")).status).to.equal(200);
    await stage.patch({ inCluster: { anonymous: null, clients: CLIENTS } });
    await stage.answers(401, manifest);
  });

  it("says on its page what it goes by, and no hash", async () => {
    const page = await (await fetch(`${stage.statusOrigin}/-/access`)).text();
    expect(JSON.parse(page)).to.deep.include({ known: true, privateHosts: [PRIVATE], secrets: ["ci", "nodes"] });
    expect(page).to.not.match(/hash|salt/);
  });

  it("is refused, with all the rest, once there is no CacheRegistry", async () => {
    await stage.client.delete(
      {
        group: "entrepot.dev",
        version: "v1alpha1",
        plural: "cacheregistries",
        kind: "CacheRegistry",
        namespaced: false,
      },
      stage.registry,
    );
    await stage.answers(503, manifest, basic("ci", "rotated"));
    const answer = await stage.get("/v2/open/app/manifests/v1");
    expect([answer.status, answer.error?.code]).to.deep.equal([503, "UNKNOWN"]);
    await stage.createRegistry();
    await stage.answers(200, manifest, basic("ci", "rotated"));
  });
});
