import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { get, type IncomingMessage } from "node:http";
import { expect } from "chai";
import { ClientLimits } from "../../gateway/limits.ts";
import { eventually } from "../support/kube.ts";
import { acceptedRule, Cleanup, Distribution, GatewayProcess } from "./gateway-harness.ts";

describe("The gateway's limits for one client", () => {
  const cleanup = new Cleanup();
  const layer = randomBytes(32 * 1024 * 1024);
  let proxy: Distribution;
  let image: Awaited<ReturnType<Distribution["pushImage"]>>;

  before(async function () {
    this.timeout(0);
    const upstream = await Distribution.start(cleanup);
    image = await upstream.pushImage("acme/app", "v1", layer);
    proxy = await Distribution.start(cleanup, { upstream });
  });
  after(() => cleanup.run());

  async function gateway(limits: object): Promise<GatewayProcess> {
    const origins = { "registry.local:5000": proxy.origin };
    const started = await GatewayProcess.start(cleanup, { registry: "main", origins, spec: { inCluster: { limits } } });
    await started.setRules([acceptedRule("app", "registry.local:5000/acme/app", "app")]);
    return started;
  }

  it("answer 429 above the rate, with when to come back, and let it come back", async () => {
    const limited = await gateway({ requestsPerSecond: 1 });
    let admitted = 0;
    let last = await limited.get("/v2/");
    for (; last.status === 200 && admitted < 100; last = await limited.get("/v2/")) admitted += 1;
    expect(admitted, "ten at once, and one more for every second that they took").to.be.within(10, 99);
    expect([last.status, last.errors[0]?.code]).to.deep.equal([429, "TOOMANYREQUESTS"]);
    expect(last.headers.get("retry-after")).to.equal("1");
    expect(last.errors[0]?.message).to.include('requestsPerSecond of CacheRegistry "main"');
    await eventually("a second later", async () => (await limited.get("/v2/")).status === 200);
    expect(await limited.metrics()).to.match(
      /requests_total\{rule="_undeclared",kind="limited",code="4xx"[^}]*\} [1-9]/,
    );
  });

  it("answer 429 above so many at once, and count a broken connection out", async () => {
    const limited = await gateway({ concurrentRequests: 2 });
    const path = `/v2/app/blobs/${image.layer}`;
    expect((await limited.get(path)).body.length).to.equal(layer.length);
    const downloads: IncomingMessage[] = [];
    for (let count = 0; count < 2; count++) {
      const [download] = (await once(get(`${limited.origin}${path}`, { agent: false }), "response")) as [
        IncomingMessage,
      ];
      downloads.push(download.pause());
    }
    const third = await limited.get("/v2/app/manifests/v1");
    expect([third.status, third.errors[0]?.code]).to.deep.equal([429, "TOOMANYREQUESTS"]);
    for (const download of downloads) download.on("error", () => undefined).destroy();
    await eventually("they are counted out", async () => (await limited.get("/v2/app/manifests/v1")).status === 200);
  });

  it("are none where spec says none", async () => {
    const open = await gateway({});
    const answers = await Promise.all(Array.from({ length: 200 }, () => open.get("/v2/")));
    expect(answers.every(({ status }) => status === 200)).to.equal(true);
  });

  it("hold each address by itself, follow a changed spec, and remember a bounded number of addresses", () => {
    const limits = new ClientLimits({ monotonicMs: () => 0 });
    const policy = (requestsPerSecond: number) => ({ registry: "main", limits: { requestsPerSecond } });
    const passes = (address: string, rate: number): number => {
      let passed = 0;
      for (let count = 0; count < 100; count++) {
        const entry = limits.enter(address, policy(rate));
        if ("leave" in entry) entry.leave();
        passed += "leave" in entry ? 1 : 0;
      }
      return passed;
    };
    expect(passes("10.0.0.1", 1)).to.equal(10);
    expect(passes("10.0.0.1", 1)).to.equal(0);
    expect(passes("10.0.0.2", 1), "another address").to.equal(10);
    expect(passes("2001:db8::1", 1)).to.equal(10);
    expect(passes("2001:db8::2", 1), "the same network").to.equal(0);
    expect(passes("10.0.0.1", 2), "another rate begins anew").to.equal(20);
    for (let count = 0; count < 100_000; count++) limits.enter(`10.1.${count >> 8}.${count & 255}`, policy(2));
    expect(passes("10.0.0.1", 2), "forgotten among many").to.equal(20);
  });
});
