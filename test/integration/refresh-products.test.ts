import { expect } from "chai";
import type { CacheRegistryObject } from "../../crds/index.ts";
import { TEST_USER } from "../../hack/testcluster/registry.ts";
import { RegistryDoors } from "../../operator/refresh/doors.ts";
import type { SecretObject } from "../../operator/resources.ts";
import { acceptedRule, Cleanup, Distribution, GatewayProcess } from "./gateway-harness.ts";
import { inClusterRegistry, Stage, servedRule } from "./refresh-harness.ts";

const HOST = "upstream.test";
const REFRESH = { interval: "1h", tags: [{ glob: "v*" }] };
const base64 = (text: string) => Buffer.from(text).toString("base64");

/** A registry product that lists only what it holds; here a CNCF distribution that proxies stands in its place. */
function productRegistry(pullSecretRef?: string): CacheRegistryObject {
  const spec = { zot: {}, ...(pullSecretRef !== undefined && { pullSecretRef: { name: pullSecretRef } }) };
  return { ...inClusterRegistry(), spec } as unknown as CacheRegistryObject;
}

describe("refresh of rules on other registries", function () {
  this.timeout(120_000);
  const perTest = new Cleanup();
  afterEach(() => perTest.run());

  it("lists the upstream with its credentials and pulls through the cache with the registry's", async () => {
    const upstream = await Distribution.start(perTest, { auth: true });
    const cache = await Distribution.start(perTest, { auth: true, upstream });
    const { digest } = await upstream.pushImage("team/app", "v1", Buffer.from("one"));
    await upstream.pushImage("team/app", "w1", Buffer.from("two"));
    const secret = (data: Record<string, string>): SecretObject =>
      ({
        apiVersion: "v1",
        kind: "Secret",
        type: "kubernetes.io/basic-auth",
        metadata: { name: "pull" },
        data,
      }) as SecretObject;
    let found: SecretObject | undefined = secret({
      username: base64(TEST_USER.username),
      password: base64(TEST_USER.password),
    });
    const upstreamHost = `127.0.0.1:${upstream.port}`;
    const doors = new RegistryDoors({
      namespace: "cosign-system",
      secrets: { get: () => found },
      pullHost: () => `127.0.0.1:${cache.port}/team`,
      gateway: () => Promise.reject(new Error("there is no gateway")),
      upstreamOf: (_registry, host) => ({
        kind: "upstream",
        upstream: { host, plainHTTP: true, credentials: TEST_USER },
      }),
    });
    perTest.add(() => doors.close());
    const rule = servedRule(REFRESH, { source: `${upstreamHost}/team/app` });
    const made = new Stage(cache.origin, rule, { registry: productRegistry("pull"), doors });
    await made.run();
    expect(made.cached?.tags?.map((one) => [one.repository, one.tag, one.digest])).to.deep.equal([
      ["app", "v1", digest],
    ]);
    expect(cache.requests.some((line) => line.includes("/tags/list"))).to.equal(false);
    const pulled = cache.requests.filter((line) => line.includes('"GET /v2/team/app/') && line.includes(" 200 "));
    expect(pulled).to.have.length(3); // manifest, configuration, layer

    found = undefined;
    await upstream.pushImage("team/app", "v2", Buffer.from("three"));
    await made.later();
    await made.later();
    expect(made.said("RefreshFailing").join()).to.include('Secret "pull" (spec.pullSecretRef of CacheRegistry "main")');
    expect(made.cached?.total).to.equal(1);
    found = secret({ username: base64(TEST_USER.username), password: base64("wrong-password") });
    await made.later();
    const said = made.notes.map(({ note }) => note).join("\n");
    expect(said).to.include("does not let the operator pull").and.not.include("wrong-password");
    expect(said).not.to.include(TEST_USER.password);
  });

  it("follows the repositories in the cache for a wildcard rule of the in-cluster cache, by its catalogue", async () => {
    const upstream = await Distribution.start(perTest);
    const proxy = await Distribution.start(perTest, { upstream });
    const gateway = await GatewayProcess.start(perTest, { registry: "main", origins: { [HOST]: proxy.origin } });
    await gateway.setRules([acceptedRule("app", `${HOST}/team/*`, "hub/*")]);
    for (const name of ["used", "unused"]) await upstream.pushImage(`team/${name}`, "v1", Buffer.from(name));
    expect((await gateway.get("/v2/hub/used/manifests/v1")).status).to.equal(200);
    const made = new Stage(gateway.origin, servedRule(REFRESH, { source: `${HOST}/team/*`, target: "hub/*" }));
    perTest.add(() => made.doors.close());
    await made.run();
    expect(made.tags).to.deep.equal(["hub/used:v1"]);
    await upstream.pushImage("team/used", "v2", Buffer.from("new"));
    await made.later();
    expect(made.tags).to.deep.equal(["hub/used:v2", "hub/used:v1"]);
  });
});
