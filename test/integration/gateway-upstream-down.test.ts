import { randomBytes } from "node:crypto";
import { expect } from "chai";
import { eventually } from "../support/kube.ts";
import { acceptedRule, Cleanup, Distribution, GatewayProcess } from "./gateway-harness.ts";

describe("The gateway while the upstream is down", () => {
  const cleanup = new Cleanup();
  const layer = randomBytes(50_000);
  let upstream: Distribution;
  let cache: Distribution;
  let gateway: GatewayProcess;
  let image: Awaited<ReturnType<Distribution["pushImage"]>>;
  const rule = (conditions: { type: string; status: string; message: string }[] = []) =>
    acceptedRule("app", "registry.local:5000/acme/app", "demo-app", conditions);

  before(async function () {
    this.timeout(0);
    upstream = await Distribution.start(cleanup, { auth: true });
    cache = await Distribution.start(cleanup, { upstream });
    image = await upstream.pushImage("acme/app", "v1", layer);
    await upstream.pushImage("acme/app", "v2", Buffer.from("never pulled"));
    gateway = await GatewayProcess.start(cleanup, {
      registry: "main",
      origins: { "registry.local:5000": cache.origin },
    });
    await gateway.setRules([rule()]);
    for (const path of ["manifests/v1", `blobs/${image.config}`, `blobs/${image.layer}`]) {
      expect((await gateway.get(`/v2/demo-app/${path}`)).status).to.equal(200);
    }
    await eventually("the layer is in the cache, which serves a part only of what it has", async () => {
      const path = `/v2/demo-app/blobs/${image.layer}`;
      return (await gateway.get(path, { headers: { range: "bytes=0-0" } })).status === 206;
    });
    await upstream.stop();
  });
  after(() => cleanup.run());

  it("serves what was pulled before: manifest by tag, by digest, and blobs", async () => {
    for (const path of ["manifests/v1", `manifests/${image.digest}`, `blobs/${image.config}`]) {
      const answer = await gateway.get(`/v2/demo-app/${path}`);
      expect(answer.status, `${path}: ${answer.body.toString()}`).to.equal(200);
    }
    const blob = await gateway.get(`/v2/demo-app/blobs/${image.layer}`);
    expect(blob.body.equals(layer)).to.equal(true);
    const tags = await gateway.get("/v2/demo-app/tags/list");
    expect(JSON.parse(tags.body.toString())).to.deep.equal({ name: "demo-app", tags: ["v1"] });
  });

  it("says clearly that it cannot get the rest", async () => {
    const tag = await gateway.get("/v2/demo-app/manifests/v2");
    expect([tag.status, tag.errors[0]?.code]).to.deep.equal([404, "MANIFEST_UNKNOWN"]);
    expect(tag.errors[0]?.message).to.match(
      /is not cached .* upstream is unreachable, see: kubectl describe cacherule app$/,
    );
    const digest = await gateway.get(`/v2/demo-app/manifests/sha256:${"0".repeat(64)}`);
    expect([digest.status, digest.errors[0]?.code]).to.deep.equal([502, "UNKNOWN"]);
    const blob = await gateway.get(`/v2/demo-app/blobs/sha256:${"0".repeat(64)}`);
    expect([blob.status, blob.errors[0]?.code]).to.deep.equal([502, "UNKNOWN"]);
    expect(blob.errors[0]?.message).to.include('CacheRule "app"').and.not.include(String(upstream.port));
  });

  it("tells an outage from an absence once the operator has seen it", async () => {
    await gateway.setRules([rule([{ type: "UpstreamReachable", status: "False", message: "connection refused" }])]);
    const tag = await gateway.get("/v2/demo-app/manifests/v2");
    expect([tag.status, tag.errors[0]?.code]).to.deep.equal([502, "UNKNOWN"]);
    expect(tag.errors[0]?.message).to.include("the upstream cannot be asked (connection refused)");
    expect((await gateway.get("/v2/demo-app/manifests/v1")).status, "control: what is cached").to.equal(200);
  });

  it("answers 502 with the rule's name while the backend is down, and its page says so", async () => {
    await cache.stop();
    const answer = await gateway.get("/v2/demo-app/manifests/v1");
    expect([answer.status, answer.errors[0]?.code]).to.deep.equal([502, "UNKNOWN"]);
    expect(answer.errors[0]?.message)
      .to.include("its backend refuses connections")
      .and.include("kubectl describe cacherule app");
    const page = (await (await fetch(`${gateway.status}/-/rules`)).json()) as { rules: Record<string, object> };
    expect(page.rules["app"]).to.include({ backendReady: false, reason: "its backend refuses connections" });
  });

  it("serves again when both are back", async () => {
    await upstream.run();
    await cache.run();
    await gateway.setRules([rule()]);
    await eventually("the page says so", async () => {
      const page = (await (await fetch(`${gateway.status}/-/rules`)).json()) as {
        rules: Record<string, { backendReady: boolean }>;
      };
      return page.rules["app"]?.backendReady;
    });
    expect((await gateway.get("/v2/demo-app/manifests/v2")).status).to.equal(200);
  });
});
