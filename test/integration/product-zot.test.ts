import { expect } from "chai";
import { KubeError } from "../../adapters/kube/errors.ts";
import type { SecretObject } from "../../operator/resources.ts";
import { b64, basicAuth, ruleOf, SIGNAL } from "./product-rendered-harness.ts";
import { BASE, type ConfigMap, GHCR, HUB, PASSWORD, REGISTRY, start } from "./product-zot-harness.ts";

describe("zot as a registry (rendered into its ConfigMap, in memory)", () => {
  it("has its rules rendered, its credentials written, its workload rolled, and says so when all Pods are new", async () => {
    const { kube, prepare, observe, config } = start();
    const first = await prepare([GHCR, HUB]);
    expect(first.ready).to.deep.include({ done: false, reason: "Updating" });
    expect((await observe(HUB)).synced).to.deep.include({ done: false, reason: "Updating" });
    expect(kube.writes).to.deep.equal([
      "create Secret/zot-upstreams",
      "patch ConfigMap/zot-config",
      "patch Deployment/zot",
    ]);
    expect(config()).to.deep.equal({
      ...BASE,
      extensions: {
        ui: { enable: true },
        sync: {
          enable: true,
          credentialsFile: "/etc/zot-upstreams/credentials.json",
          registries: [
            {
              urls: ["https://ghcr.io"],
              onDemand: true,
              tlsVerify: true,
              retryDelay: "500ms",
              content: [{ prefix: "acme/app", destination: "/app", stripPrefix: true }],
            },
            {
              urls: ["https://registry-1.docker.io"],
              onDemand: true,
              tlsVerify: true,
              retryDelay: "500ms",
              content: [{ prefix: "library/*/**", destination: "/hub", stripPrefix: true }],
            },
          ],
        },
      },
    });
    const secret = kube.peek<SecretObject>("Secret", "zot-upstreams");
    expect(JSON.parse(atob(secret?.data?.["credentials.json"] ?? ""))).to.deep.equal({
      "registry-1.docker.io": { username: "someone", password: PASSWORD },
    });
    kube.rollOut("zot");
    const second = await prepare([GHCR, HUB]);
    expect(second.ready).to.deep.equal({ done: true });
    expect(second.upstreams.map(({ host, health }) => [host, health])).to.deep.equal([
      ["ghcr.io", "Healthy"],
      ["docker.io", "Healthy"],
    ]);
    for (const rule of [GHCR, HUB]) {
      const { synced, serving, upstream } = await observe(rule);
      expect({ synced, serving }).to.deep.equal({ synced: { done: true }, serving: { done: true } });
      expect(upstream?.kind).to.equal("probed");
    }
  });

  it("is at rest: nothing is written the second time, nor the hundredth", async () => {
    const { kube, prepare, observe } = start();
    await prepare([GHCR, HUB]);
    kube.rollOut("zot");
    kube.writes.length = 0;
    for (let pass = 0; pass < 100; pass++) {
      await prepare([GHCR, HUB]);
      await observe(HUB);
    }
    expect(kube.writes).to.deep.equal([]);
  });

  it("never lets a password out of its Secret", async () => {
    const { kube, prepare, observe, logged } = start();
    const said = [await prepare([HUB]), await observe(HUB)];
    const shown = JSON.stringify([said, logged, kube.peek("ConfigMap", "zot-config"), kube.peek("Deployment", "zot")]);
    expect(shown).to.not.contain(PASSWORD).and.not.contain(b64(PASSWORD));
  });

  it("rolls when a password is rotated", async () => {
    const { kube, prepare } = start();
    await prepare([HUB]);
    kube.rollOut("zot");
    kube.writes.length = 0;
    kube.put(basicAuth("hub-login", "someone", "another"));
    expect((await prepare([HUB])).ready.done).to.equal(false);
    expect(kube.writes).to.deep.equal(["patch Secret/zot-upstreams", "patch Deployment/zot"]);
  });

  it("keeps the last good password while the Secret with the new one is missing", async () => {
    const { kube, prepare } = start();
    await prepare([HUB]);
    kube.rollOut("zot");
    await kube.delete({ group: "", version: "v1", plural: "secrets", kind: "Secret", namespaced: true }, "hub-login");
    kube.writes.length = 0;
    expect((await prepare([HUB])).ready).to.deep.include({ done: false, reason: "SecretNotFound" });
    expect(kube.writes).to.deep.equal([]);
  });

  it("takes a rule out again, and says so only when every Pod is new", async () => {
    const { zot, kube, clock, prepare } = start();
    await prepare([GHCR, HUB]);
    kube.rollOut("zot");
    const removed = async () => {
      await clock.advance(5_000);
      return await zot.removed({ rule: GHCR, registry: REGISTRY }, SIGNAL);
    };
    expect(await removed()).to.deep.include({ done: false, reason: "Deleting" });
    await prepare([HUB]);
    expect(await removed()).to.deep.include({ done: false, reason: "Deleting" });
    kube.rollOut("zot");
    expect(await removed()).to.deep.equal({ done: true });
  });

  it("leaves nothing of its own behind", async () => {
    const { zot, kube, prepare, config } = start();
    await prepare([HUB]);
    kube.rollOut("zot");
    expect(await zot.withdraw(REGISTRY, SIGNAL)).to.deep.include({ done: false, reason: "Updating" });
    expect(config()).to.deep.equal(BASE);
    expect(atob(kube.peek<SecretObject>("Secret", "zot-upstreams")?.data?.["credentials.json"] ?? "")).to.equal("{}");
    kube.rollOut("zot");
    expect(await zot.withdraw(REGISTRY, SIGNAL)).to.deep.equal({ done: true });
    expect(kube.peek("Secret", "zot-upstreams")).to.equal(undefined);
  });

  it("corrects what others changed, rolls because Pods may have started meanwhile, and only reports it if told so", async () => {
    const { kube, prepare, config, logged } = start();
    await prepare([HUB]);
    kube.rollOut("zot");
    const wanted = config();
    const vandalise = () => {
      const found = kube.peek<ConfigMap>("ConfigMap", "zot-config");
      if (found === undefined) throw new Error("no ConfigMap");
      kube.put({ ...found, data: { "config.json": JSON.stringify(BASE) } });
    };
    vandalise();
    kube.writes.length = 0;
    const report = { ...REGISTRY, spec: { ...REGISTRY.spec, driftPolicy: "Report" as const } };
    expect((await prepare([HUB], report)).ready).to.deep.include({ done: false, reason: "Drifted" });
    expect(kube.writes).to.deep.equal([]);
    expect((await prepare([HUB])).ready.done).to.equal(false);
    expect(kube.writes).to.deep.equal(["patch ConfigMap/zot-config", "patch Deployment/zot"]);
    expect(config()).to.deep.equal(wanted);
    expect(logged.join("\n")).to.contain("changed by others");
  });

  it("finishes what it was stopped in, whichever write failed", async () => {
    for (const stopped of ["create Secret/zot-upstreams", "patch ConfigMap/zot-config", "patch Deployment/zot"]) {
      const { kube, prepare, observe } = start();
      kube.beforeWrite = (write) => {
        if (write === stopped) throw new KubeError("UNAVAILABLE", "the API server is gone");
      };
      await prepare([HUB]).then(
        () => expect.fail("it should fail"),
        (thrown) => expect(thrown).to.be.instanceOf(KubeError),
      );
      expect((await observe(HUB)).synced.done).to.equal(false);
      kube.beforeWrite = () => undefined;
      await prepare([HUB]);
      kube.rollOut("zot");
      expect((await prepare([HUB])).ready).to.deep.equal({ done: true });
    }
  });

  it("says of a rule that another keeps out which one it is", async () => {
    const { kube, prepare, observe } = start();
    const inside = { ...ruleOf("inside", "ghcr.io/acme/nginx", "hub/nginx") };
    await prepare([HUB, inside]);
    kube.rollOut("zot");
    const { synced } = await observe(inside);
    expect(synced).to.deep.include({ done: false, reason: "Conflict" });
    expect(synced.done ? "" : synced.message).to.contain('CacheRule "hub"');
    expect((await observe(HUB)).synced).to.deep.equal({ done: true });
  });
});
