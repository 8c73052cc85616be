import { randomBytes } from "node:crypto";
import { expect } from "chai";
import { eventually } from "../support/kube.ts";
import { acceptedRule, Cleanup, Distribution, digestOf, GatewayProcess } from "./gateway-harness.ts";

describe("The gateway under load", () => {
  const cleanup = new Cleanup();
  const SIZE = 64 * 1024 * 1024;
  const blob = randomBytes(SIZE);
  let gateway: GatewayProcess;
  let digest: string;

  before(async function () {
    this.timeout(0);
    const upstream = await Distribution.start(cleanup, { auth: true });
    const cache = await Distribution.start(cleanup, { upstream });
    digest = await upstream.pushBlob("acme/big", blob);
    gateway = await GatewayProcess.start(cleanup, {
      registry: "main",
      origins: { "registry.local:5000": cache.origin },
    });
    await gateway.setRules([acceptedRule("big", "registry.local:5000/acme/big", "big")]);
  });
  after(() => cleanup.run());

  it("streams a blob of 64 MiB, cold and cached, four at a time, in little memory", async () => {
    await gateway.get("/v2/big/tags/list");
    const before = gateway.rss;
    let peak = 0;
    const sampling = setInterval(() => {
      peak = Math.max(peak, gateway.rss - before);
    }, 10);
    const cold = await gateway.get(`/v2/big/blobs/${digest}`);
    expect(digestOf(cold.body)).to.equal(digest);
    const cached = await Promise.all(Array.from({ length: 4 }, () => gateway.get(`/v2/big/blobs/${digest}`)));
    clearInterval(sampling);
    for (const got of cached) expect(got.body.length).to.equal(SIZE);
    expect(peak, `grew by ${peak.toFixed(0)} MiB`).to.be.lessThan(100);
    const entry = await eventually("it is logged", () =>
      gateway.logged("request").find((line) => line["bytes"] === SIZE),
    );
    expect(entry).to.include({ rule: "big", kind: "blob", status: 200 });
  });

  it("goes on with a range where a client was cut off", async () => {
    await gateway.get(`/v2/big/blobs/${digest}`); // distribution serves ranges of what is in its cache; the first time it sends all
    const tail = await eventually("the blob is in the cache", async () => {
      const answer = await gateway.get(`/v2/big/blobs/${digest}`, { headers: { range: `bytes=${SIZE - 100_000}-` } });
      return answer.status === 206 && answer;
    });
    expect(tail.body.equals(blob.subarray(SIZE - 100_000))).to.equal(true);
  });

  it("refuses thousands of undeclared names without growing its metrics", async () => {
    const lines = async () => (await gateway.metrics()).split("\n").length;
    await gateway.get("/v2/undeclared/manifests/v1");
    const before = await lines();
    for (let round = 0; round < 20; round++) {
      await Promise.all(
        Array.from({ length: 50 }, (_, index) => gateway.get(`/v2/undeclared/${round}-${index}/manifests/v1`)),
      );
    }
    expect(await lines()).to.be.lessThanOrEqual(before + 5); // histogram lines do not multiply either
  });
});
