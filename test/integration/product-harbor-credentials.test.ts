import { expect } from "chai";
import { endpointName } from "../../core/product/harbor-endpoint.ts";
import { FakeHarbor } from "../support/harbor/fake.ts";
import { basicAuth, HarborStage, productFailure } from "../support/harbor/stage.ts";
import type { FakeRegistry } from "../support/harbor/state.ts";
import { selfSigned } from "../support/self-signed.ts";
import { specFile } from "../support/specs.ts";

const CONTRACT = specFile("harbor-v2.15.2-swagger.yaml");
const GHCR = endpointName("main", "ghcr.io");
const PASSWORD = "ghp_0123456789";

describe("Credentials of upstreams in Harbor (contract fake, never run against Harbor)", function () {
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
    upstreamOf("https://ghcr.io").passwords.set("reader", PASSWORD);
  });
  afterEach(async () => {
    await harbor?.stop();
    expect(harbor?.deviations ?? []).to.deep.equal([]);
  });

  function upstreamOf(url: string) {
    return harbor.state.upstream(url);
  }

  function withSecret(host = "ghcr.io", password = PASSWORD, version = "1"): void {
    stage.put(basicAuth("reader", "reader", password, version));
    stage.upstreams = [{ host, credentials: { secretRef: { name: "reader" } } }];
  }

  function endpoint(): FakeRegistry {
    return harbor.state.registryNamed(GHCR) ?? expect.fail("no endpoint");
  }

  async function rests(): Promise<void> {
    const writes = harbor.writes.length;
    stage.restart();
    await stage.prepare("ghcr.io");
    expect(harbor.writes.length).to.equal(writes);
  }

  it("are given to the endpoint, and nothing of them can be read from it", async () => {
    withSecret();
    const outcome = await stage.prepare("ghcr.io");
    expect(outcome.credentials?.status).to.equal("True");
    expect(endpoint()).to.include({ accessKey: "reader", accessSecret: PASSWORD });
    expect(endpoint().description).to.equal(`managed by entrepot ${stage.uid} uid-reader.1`);
    await rests();
  });

  it("are written once more when their Secret changes, once", async () => {
    withSecret();
    await stage.prepare("ghcr.io");
    upstreamOf("https://ghcr.io").passwords.set("reader", "second");
    withSecret("ghcr.io", "second", "2");
    expect((await stage.prepare("ghcr.io")).credentials?.status).to.equal("True");
    expect(endpoint().accessSecret).to.equal("second");
    await rests();
  });

  it("stay as they were when the new ones are refused, and are reported", async () => {
    withSecret();
    await stage.prepare("ghcr.io");
    withSecret("ghcr.io", "wrong-one", "2");
    const { ready, credentials, upstreams } = await stage.prepare("ghcr.io");
    expect(ready).to.deep.equal({ done: true });
    expect(credentials?.status).to.equal("False");
    expect(credentials?.message).to.contain('Secret "reader"').and.not.contain("wrong-one");
    expect(upstreams[0]).to.include({ health: "Unhealthy", reason: "CredentialsUnhealthy", remoteId: "1" });
    expect(endpoint().accessSecret).to.equal(PASSWORD);
  });

  it("are taken away when the registry names none any more", async () => {
    withSecret();
    await stage.prepare("ghcr.io");
    stage.upstreams = [];
    expect((await stage.prepare("ghcr.io")).credentials).to.equal(undefined);
    expect(endpoint()).to.include({ accessKey: "", accessSecret: "" });
    await rests();
  });

  it("survive a change of the URL, which would blank the stored password", async () => {
    withSecret();
    await stage.prepare("ghcr.io");
    upstreamOf("http://ghcr.io").passwords.set("reader", PASSWORD);
    stage.upstreams = stage.upstreams.map((one) => ({ ...one, plainHTTP: true }));
    await stage.prepare("ghcr.io");
    expect(endpoint()).to.include({ url: "http://ghcr.io", accessSecret: PASSWORD });
    await rests();
  });

  it("are written again when somebody blanked or changed them in Harbor", async () => {
    withSecret();
    for (const change of [{ accessSecret: "" }, { accessKey: "other" }, { description: "" }]) {
      await stage.prepare("ghcr.io");
      if (!("description" in change)) {
        Object.assign(endpoint(), change);
        await stage.prepare("ghcr.io");
        expect(endpoint()).to.include({ accessKey: "reader", accessSecret: PASSWORD });
      } else {
        Object.assign(endpoint(), change);
        expect((await stage.prepare("ghcr.io")).ready).to.include({ reason: "ForeignRule" });
      }
    }
  });

  for (const host of ["ghcr.io", "docker.io"]) {
    it(`that ${host} refuses from the start are told from an upstream that is away`, async () => {
      withSecret(host, "expired-one");
      const refused = await stage.prepare(host);
      expect(refused.ready).to.deep.equal({ done: true });
      expect(refused.upstreams).to.deep.equal([{ host, health: "Unhealthy", reason: "CredentialsUnhealthy" }]);
      expect(refused.credentials?.message).to.contain(host).and.not.contain("expired-one");
      const failure = await productFailure(stage.pass(stage.request(`${host}/*`, "a/*")));
      expect(failure).to.include({ code: "PRODUCT_UNAVAILABLE", reason: "CredentialsUnhealthy" });
      expect(failure.message).to.contain('Secret "reader"').and.not.contain("expired-one");
      expect(harbor.state.registries.size + harbor.state.projects.size).to.equal(0);
    });
  }

  it("of an upstream that is away are neither good nor bad", async () => {
    withSecret();
    upstreamOf("https://ghcr.io").answers = false;
    const { ready, credentials, upstreams } = await stage.prepare("ghcr.io", "quay.io");
    expect(ready).to.deep.equal({ done: true });
    expect(credentials?.status).to.equal("Unknown");
    expect(upstreams[0]).to.deep.equal({ host: "ghcr.io", health: "Unhealthy", reason: "UpstreamUnreachable" });
    expect(upstreams[1]).to.include({ host: "quay.io", health: "Healthy" });
    const failure = await productFailure(stage.pass(stage.request("ghcr.io/*", "ghcr/*")));
    expect(failure).to.include({ code: "PRODUCT_UNAVAILABLE", reason: "UpstreamUnreachable" });
    expect(failure.message).to.contain("https://ghcr.io");
  });

  it("of a Docker Hub that is away are not blamed, and a 500 of Harbor's own is not explained away", async () => {
    withSecret("docker.io");
    upstreamOf("https://hub.docker.com").answers = false;
    expect((await stage.prepare("docker.io")).upstreams[0]).to.include({ reason: "UpstreamUnreachable" });
    const broken = {
      kind: "reply",
      status: 500,
      text: '{"errors":[{"code":"UNKNOWN","message":"internal"}]}',
    } as const;
    harbor.inject("POST", /\/registries$/, broken);
    harbor.inject("POST", /\/registries\/ping$/, broken);
    const failure = await productFailure(stage.prepare("docker.io"));
    expect(failure.code).to.equal("PRODUCT_UNAVAILABLE");
    expect(failure.message).to.contain("HTTP 500");
  });

  it("are looked at where Harbor finds an endpoint unhealthy later", async () => {
    withSecret();
    await stage.prepare("ghcr.io");
    Object.assign(endpoint(), { status: "Unhealthy" });
    expect((await stage.prepare("ghcr.io")).credentials?.status).to.equal("False");
    upstreamOf("https://ghcr.io").answers = false;
    const away = await stage.prepare("ghcr.io");
    expect(away.credentials?.status).to.equal("Unknown");
    expect(away.upstreams[0]).to.include({ reason: "UpstreamUnreachable", remoteId: "1" });
    expect(harbor.writes).to.have.length(1);
  });

  it("that are missing or none are said to be, by name", async () => {
    withSecret();
    stage.secrets.delete("cosign-system/reader");
    const { ready, credentials } = await stage.prepare("ghcr.io");
    expect(ready).to.include({ done: false, reason: "SecretNotFound" });
    expect(credentials?.status).to.equal("False");
    expect(credentials?.message).to.contain('"reader"').and.contain("cosign-system");
    stage.put(basicAuth("reader", "reader", ""));
    expect((await stage.prepare("ghcr.io")).ready).to.include({ reason: "SecretInvalid" });
    expect(harbor.writes).to.deep.equal([]);
  });

  it("go with their endpoint when no rule uses the upstream, unless a project still does", async () => {
    withSecret();
    await stage.prepare("ghcr.io", "quay.io");
    await stage.pass(stage.request("quay.io/*", "quay/*"));
    await stage.prepare();
    expect([...harbor.state.registries.values()].map(({ url }) => url)).to.deep.equal(["https://quay.io"]);
  });

  it("are not sent to an endpoint of another provider, nor with a certificate that Harbor drops", async () => {
    withSecret();
    await stage.prepare("ghcr.io");
    Object.assign(endpoint(), { type: "quay" });
    expect((await stage.prepare("ghcr.io")).ready).to.include({ reason: "ImmutableChange" });
    Object.assign(endpoint(), { type: "github-ghcr" });
    const certificate = selfSigned().cert;
    stage.upstreams = stage.upstreams.map((one) => ({ ...one, caBundle: certificate }));
    await stage.prepare("ghcr.io");
    expect(endpoint().ca).to.equal(certificate);
    await rests();
    harbor.state.keepsCertificates = false;
    Object.assign(endpoint(), { ca: "" });
    const { ready } = await stage.prepare("ghcr.io");
    expect(ready.done ? "" : ready.message)
      .to.contain("ca_certificate")
      .and.contain("caBundle");
  });
});
