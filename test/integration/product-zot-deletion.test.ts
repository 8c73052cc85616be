import { expect } from "chai";
import type { CacheRegistryObject } from "../../crds/index.ts";
import { ruleOf, SIGNAL } from "./product-rendered-harness.ts";
import { BASE, type ConfigMap, GHCR, HUB, REGISTRY, start } from "./product-zot-harness.ts";

/** A second CacheRegistry over the same ConfigMap. */
function rivalOf(key: string): CacheRegistryObject {
  const { zot } = REGISTRY.spec;
  if (zot === undefined) throw new Error("no zot");
  const metadata = { ...REGISTRY.metadata, name: "rival", uid: "rival-uid" };
  return {
    ...REGISTRY,
    metadata,
    spec: { ...REGISTRY.spec, zot: { ...zot, configMapRef: { name: "zot-config", key } } },
  };
}

/** A zot that serves two rules, in its owner's hands. */
async function served() {
  const made = start();
  const { kube, zot, clock, prepare } = made;
  await prepare([GHCR, HUB]);
  kube.rollOut("zot");
  kube.writes.length = 0;
  const change = (data: Record<string, string>) => {
    const found = kube.peek<ConfigMap>("ConfigMap", "zot-config");
    if (found === undefined) throw new Error("no ConfigMap");
    kube.put({ ...found, data });
  };
  const removed = async (rule = HUB, registry = REGISTRY) => {
    await clock.advance(5_000); // later than what the last look is good for
    return await zot.removed({ rule, registry }, SIGNAL);
  };
  return { ...made, change, removed };
}

describe("the deletion of a zot (rendered into its ConfigMap, in memory)", () => {
  const refused = ruleOf("refused", "quay.io/*", "quay/*");
  const rivals: readonly [string, string, Record<string, string>][] = [
    ["the same key", "config.json", {}],
    ["another key", "other.json", { "other.json": JSON.stringify(BASE) }],
    ["a key that is not there", "other.json", {}],
    ["a key that can't be read", "other.json", { "other.json": "{" }],
  ];
  for (const [name, key, data] of rivals) {
    it(`waits for nothing where another registry has the ConfigMap: ${name}`, async () => {
      const { kube, zot, change, removed, config } = await served();
      change({ "config.json": JSON.stringify(config()), ...data });
      const before = [kube.peek("ConfigMap", "zot-config"), kube.peek("Deployment", "zot")];
      expect(await removed(refused, rivalOf(key))).to.deep.equal({ done: true });
      expect(await zot.withdraw(rivalOf(key), SIGNAL)).to.deep.equal({ done: true });
      expect(kube.writes).to.deep.equal([]);
      expect([kube.peek("ConfigMap", "zot-config"), kube.peek("Deployment", "zot")]).to.deep.equal(before);
      expect(await removed()).to.deep.include({ done: false, reason: "Deleting" }); // the one that has it is waited for
      expect((await zot.withdraw(REGISTRY, SIGNAL)).done).to.equal(false);
      expect(config()).to.deep.equal(BASE);
    });
  }

  it("waits for a rule that the ConfigMap has, whoever's it is", async () => {
    const { removed } = await served();
    expect(await removed(HUB, rivalOf("config.json"))).to.deep.include({ done: false, reason: "Deleting" });
  });

  it("takes its part away with driftPolicy Report too, although others changed it", async () => {
    const { kube, zot, prepare, change, config, logged } = await served();
    const registry = { ...REGISTRY, spec: { ...REGISTRY.spec, driftPolicy: "Report" as const } };
    const { extensions } = config();
    change({ "config.json": JSON.stringify({ ...BASE, extensions: { ...extensions, sync: { enable: false } } }) });
    expect((await prepare([], registry)).ready).to.deep.include({ done: false, reason: "Drifted" }); // while it is there
    expect(kube.writes).to.deep.equal([]);
    expect(await zot.withdraw(registry, SIGNAL)).to.deep.include({ done: false, reason: "Updating" });
    expect(config()).to.deep.equal(BASE);
    expect(logged.join("\n")).to.contain("changed by others, taken away");
    kube.rollOut("zot");
    expect(await zot.withdraw(registry, SIGNAL)).to.deep.equal({ done: true });
    expect(kube.peek("Secret", "zot-upstreams")).to.equal(undefined);
  });

  it("leaves what others put there once the mark is gone", async () => {
    const { kube, zot, config } = await served();
    const wanted = config();
    const { metadata, ...others } = kube.peek<ConfigMap>("ConfigMap", "zot-config") ?? expect.fail("no ConfigMap");
    kube.put({ ...others, metadata: { name: metadata.name } });
    expect((await zot.withdraw(REGISTRY, SIGNAL)).done).to.equal(true);
    expect(config()).to.deep.equal(wanted);
  });

  it("waits for nothing where its key is gone", async () => {
    const { kube, zot, change, removed } = await served();
    change({ "other.json": "{}" });
    expect(await removed()).to.deep.equal({ done: true });
    expect(await zot.withdraw(REGISTRY, SIGNAL)).to.deep.equal({ done: true });
    expect(kube.writes).to.deep.equal([]);
  });

  it("waits where its part is under another key than it names", async () => {
    const { kube, zot, change, removed, config } = await served();
    change({ "renamed.json": JSON.stringify(config()), notes: "of its owner's" });
    for (const progress of [await removed(), await zot.withdraw(REGISTRY, SIGNAL)])
      expect(progress.done ? "" : progress.message).to.match(
        /has no key config\.json; add it, or correct configMapRef/,
      );
    expect(kube.writes).to.deep.equal([]);
  });

  it("says what is in the way where its part is there and can't be read", async () => {
    const { kube, zot, change, removed } = await served();
    change({ "config.json": "{" });
    for (const progress of [await removed(), await zot.withdraw(REGISTRY, SIGNAL)]) {
      expect(progress.done ? "" : progress.message).to.match(/config\.json of ConfigMap "zot-config" can't be used/);
    }
    expect(kube.writes).to.deep.equal([]);
  });
});
