import { expect } from "chai";
import { Crane } from "../support/crane.ts";
import { eventually } from "../support/kube.ts";
import { type MultiArch, pushMultiArch } from "../support/multi-arch.ts";
import { acceptedRule, Cleanup, Distribution, GatewayProcess } from "./gateway-harness.ts";

const HUB = "index.docker.io"; // docker.io in its canonical spelling

/** The example of Azure's page about caching for Azure Container Registry, with a registry on loopback in Docker Hub's place. */
describe("docker.io/lgmorand/demoappprometheus:v1.0 as demo-prometheus:v1.0", () => {
  const cleanup = new Cleanup();
  const rule = acceptedRule("demo-prometheus", "docker.io/lgmorand/demoappprometheus", "demo-prometheus");
  let crane: Crane;
  let hub: Distribution;
  let cache: Distribution;
  let gateway: GatewayProcess;
  let image: MultiArch;
  /** As a client lists it. */
  const catalog = async (): Promise<string[]> =>
    (await crane.run("catalog", new URL(gateway.origin).host)).split("\n").filter((name) => name !== "");
  const inCache = (reference: string): string => `${new URL(gateway.origin).host}/${reference}`;

  before(async function () {
    this.timeout(0); // the first time on a machine distribution and crane are built
    crane = await Crane.create();
    cleanup.add(() => crane.dispose());
    hub = await Distribution.start(cleanup, { auth: true });
    cache = await Distribution.start(cleanup, { upstream: hub });
    image = await pushMultiArch(hub, "lgmorand/demoappprometheus", "v1.0");
    await pushMultiArch(hub, "lgmorand/another", "v1.0");
    gateway = await GatewayProcess.start(cleanup, { registry: "main", origins: { [HUB]: cache.origin } });
    await gateway.setRules([rule]);
  });
  after(() => cleanup.run());

  it("is not in the catalogue before the first pull", async () => {
    expect(await catalog()).to.deep.equal([]);
  });

  it("is not served under its own name, nor is an image that no rule declares", async () => {
    for (const name of ["lgmorand/demoappprometheus:v1.0", "lgmorand/another:v1.0", "demo-prometheus2:v1.0"])
      expect(await crane.fails("digest", inCache(name)), name).to.include("NAME_UNKNOWN");
    expect(hub.requests.filter((line) => line.includes("/lgmorand/"))).to.have.length(pushes());
  });

  it("is fetched from the source at the first pull, its tag kept, and is the source's image", async () => {
    expect(await crane.run("digest", inCache("demo-prometheus:v1.0"))).to.equal(image.digest);
    expect(await crane.run("validate", "--remote", inCache("demo-prometheus:v1.0"))).to.include("PASS");
    expect(await crane.run("digest", "--platform=linux/arm64", inCache("demo-prometheus:v1.0"))).to.equal(
      image.parts.arm64.digest,
    );
  });

  it("is in the catalogue after it, under its name in the cache and no other", async () => {
    await eventually("the list that was read before is not used any more", async () => (await catalog()).length > 0);
    expect(await catalog()).to.deep.equal(["demo-prometheus"]);
  });

  it("does not pull a new version by itself: that takes a pull", async () => {
    await pushMultiArch(hub, "lgmorand/demoappprometheus", "v1.1");
    await hub.stop();
    expect(await crane.fails("digest", inCache("demo-prometheus:v1.1"))).to.include("404");
    await hub.run();
    expect(await crane.run("digest", inCache("demo-prometheus:v1.1"))).to.match(/^sha256:/);
  });

  it("is there when the source is not: nodes need no way to it", async () => {
    await eventually("every part is stored", async () => await stored(image));
    await hub.stop();
    expect(await crane.run("digest", inCache("demo-prometheus:v1.0"))).to.equal(image.digest);
    expect(await crane.run("validate", "--remote", inCache("demo-prometheus:v1.0"))).to.include("PASS");
    expect(await catalog()).to.deep.equal(["demo-prometheus"]);
  });

  /** Requests that the test itself made when it pushed. */
  function pushes(): number {
    return hub.requests.filter((line) => line.includes("/lgmorand/") && /"(?:POST|PUT) /.test(line)).length;
  }

  /** Whether the cache has all blobs: it answers ranges only from its own storage. */
  async function stored({ parts }: MultiArch): Promise<boolean> {
    for (const { config, layer } of [parts.amd64, parts.arm64])
      for (const blob of [config, layer]) {
        const path = `/v2/demo-prometheus/blobs/${blob}`;
        if ((await gateway.get(path, { headers: { range: "bytes=0-0" } })).status !== 206) return false;
      }
    return true;
  }
});
