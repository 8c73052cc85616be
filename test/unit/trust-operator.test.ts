import { expect } from "chai";
import type { TrustRootObject } from "../../crds/index.ts";
import type { ConfigMapObject } from "../../operator/trustroot/configmap.ts";
import { decideTrustRootStatus, type TrustRootOutcome } from "../../operator/trustroot/decide.ts";
import { editEntries, entryOrigin, type NewEntry } from "../../operator/trustroot/entries.ts";
import { editPublicGood } from "../../operator/trustroot/publicgood.ts";
import { Readings } from "../../operator/trustroot/readings.ts";
import { FakeClock } from "../support/fake-clock.ts";

const NOW = new Date("2030-01-02T03:04:05Z");
const LATER = new Date("2030-02-02T03:04:05Z");
const metadata = { namespace: "cosign-system", name: "config-sigstore-keys" };
const mapOf = (content: ReturnType<typeof editEntries>): ConfigMapObject => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { ...metadata, annotations: content.annotations },
  data: content.data,
});
const fresh = (name: string, text: string, generation = 1, uid = `uid-${name}`): NewEntry => ({
  name,
  uid,
  generation,
  text,
});
const owner = (name: string, uid = `uid-${name}`) => ({ name, uid });

describe("The entries of config-sigstore-keys", () => {
  it("are added, and say of which object and since when they are", () => {
    const map = mapOf(editEntries(undefined, [owner("a")], fresh("a", "1"), NOW));
    expect(map.data).to.eql({ a: "1" });
    expect(entryOrigin(map, "a")).to.eql({ uid: "uid-a", generation: 1, since: "2030-01-02T03:04:05Z" });
    expect(entryOrigin(map, "b")).to.equal(undefined);
  });

  it("keep their time while they say the same, of a later generation too", () => {
    const first = mapOf(editEntries(undefined, [owner("a")], fresh("a", "1"), NOW));
    const same = mapOf(editEntries(first, [owner("a")], fresh("a", "1", 2), LATER));
    expect(entryOrigin(same, "a")).to.eql({ uid: "uid-a", generation: 2, since: "2030-01-02T03:04:05Z" });
    const changed = mapOf(editEntries(same, [owner("a")], fresh("a", "2", 2), LATER));
    expect(entryOrigin(changed, "a")?.since).to.equal("2030-02-02T03:04:05Z");
  });

  it("stay while their object is there, whatever happens to others, and go with it", () => {
    const both = [owner("a"), owner("b")];
    const one = mapOf(editEntries(undefined, both, fresh("a", "1"), NOW));
    const two = mapOf(editEntries(one, both, fresh("b", "2"), NOW));
    expect(editEntries(two, both, undefined, NOW).data).to.eql({ a: "1", b: "2" });
    expect(editEntries(two, [owner("b")], undefined, NOW).data).to.eql({ b: "2" });
    expect(editEntries(two, [owner("a", "another"), owner("b")], undefined, NOW).data).to.eql({ b: "2" });
  });

  it("of unknown origin go, except policy-controller's example", () => {
    const map: ConfigMapObject = { apiVersion: "v1", kind: "ConfigMap", metadata, data: { a: "1", _example: "x" } };
    expect(editEntries(map, [owner("a")], undefined, NOW).data).to.eql({ _example: "x" });
  });

  it("are not made for an object that is gone, or is another by now", () => {
    expect(editEntries(undefined, [], fresh("a", "1"), NOW).data).to.eql({});
    expect(editEntries(undefined, [owner("a", "another")], fresh("a", "1"), NOW).data).to.eql({});
  });

  it("have room up to a mebibyte", () => {
    const room = 1024 * 1024 - 2;
    const owners = [owner("a"), owner("b")];
    const full = mapOf(editEntries(undefined, owners, fresh("a", "x".repeat(room - 10)), NOW));
    expect(editEntries(full, owners, fresh("b", "x".repeat(10)), NOW).data).to.have.keys("a", "b");
    expect(() => editEntries(full, owners, fresh("b", "x".repeat(11)), NOW)).to.throw("may have 1048576");
    expect(() => editEntries(full, owners, fresh("b", "é".repeat(6)), NOW)).to.throw("may have 1048576");
    // Names count in the annotation too, which has less room.
    const names = Array.from({ length: 500 }, (_, index) => `${"n".repeat(240)}${index + 100}`);
    const withEntries = (count: number): ConfigMapObject => {
      const noted = names.slice(0, count).map((name) => [name, { uid: `uid-${name}`, generation: 1, since: "" }]);
      const annotations = { "entrepot.dev/trust-roots": JSON.stringify(Object.fromEntries(noted)) };
      const data = Object.fromEntries(names.slice(0, count).map((name) => [name, "1"]));
      return { apiVersion: "v1", kind: "ConfigMap", metadata: { ...metadata, annotations }, data };
    };
    const everybody = [...names.map((name) => owner(name)), owner("a")];
    expect(editEntries(withEntries(400), everybody, fresh("a", "1"), NOW).data).to.include({ a: "1" });
    expect(() => editEntries(withEntries(500), everybody, fresh("a", "1"), NOW)).to.throw(
      "the annotation entrepot.dev/trust-roots would have",
    );
  });
});

describe("The status of a TrustRoot", () => {
  const trustRoot = { metadata: { generation: 3 } } as unknown as TrustRootObject;
  const origin = (generation: number) => ({ uid: "u", generation, since: "2030-01-01T00:00:00Z" });
  const cases: readonly (readonly [string, TrustRootOutcome, string, string, string])[] = [
    ["all is well", { published: origin(3) }, "True Inlined", "True Updated", "True Ready"],
    [
      "a refresh failed",
      { problem: "p", published: origin(3) },
      "False InliningKeysFailed",
      "True Updated",
      "True LastGood",
    ],
    [
      "the new generation can't be read",
      { problem: "p", published: origin(2) },
      "False InliningKeysFailed",
      "False InliningKeysFailed",
      "False InliningKeysFailed",
    ],
    [
      "nothing was ever read",
      { problem: "p" },
      "False InliningKeysFailed",
      "False InliningKeysFailed",
      "False InliningKeysFailed",
    ],
    [
      "there is no room",
      { unwritten: "full", published: origin(2) },
      "True Inlined",
      "False UpdatingConfigMap",
      "False UpdatingConfigMap",
    ],
  ];
  for (const [name, outcome, ...expected] of cases) {
    it(`when ${name}`, () => {
      const status = decideTrustRootStatus(trustRoot, outcome, NOW);
      expect(status.observedGeneration).to.equal(3);
      expect(status.conditions?.map(({ type }) => type)).to.eql(["KeysInlined", "ConfigMapUpdated", "Ready"]);
      expect(status.conditions?.map((condition) => `${condition.status} ${condition.reason}`)).to.eql(expected);
      for (const { message, observedGeneration } of status.conditions ?? []) {
        expect(message).to.not.equal("");
        expect(observedGeneration).to.equal(3);
      }
    });
  }

  it("says what is in use meanwhile, or that nothing is", () => {
    const ready = (outcome: TrustRootOutcome) =>
      decideTrustRootStatus(trustRoot, outcome, NOW).conditions?.[2]?.message;
    expect(ready({ problem: "why", published: origin(2) })).to.equal(
      "why; what was read of generation 2 at 2030-01-01T00:00:00Z stays in use",
    );
    expect(ready({ problem: "why" })).to.contain("authorities that name this trust root refuse every image");
  });
});

describe("What is read from outside now and then", () => {
  const never = new AbortController().signal;
  const made = (resyncMs = 60_000) => {
    const clock = new FakeClock();
    const backoff = { baseMs: 1_000, factor: 2, capMs: 8_000, jitter: 0 };
    const readings = new Readings({ clock, resyncMs, backoff, random: () => 0 });
    let reads = 0;
    let next: () => string = () => "";
    const get = async (version = "v", signal = never) =>
      await readings.get(
        "key",
        version,
        async () => {
          reads += 1;
          return next();
        },
        signal,
      );
    return { clock, readings, get, reads: () => reads, gives: (give: () => string) => (next = give) };
  };
  const fail = (): never => {
    throw new Error("it is away");
  };

  it("is read once, and again when it is due or its source is another", async () => {
    const { clock, get, reads, gives } = made();
    gives(() => "1");
    expect(await get()).to.eql({ text: "1", dueInMs: 60_000 });
    await clock.advance(59_999);
    expect(await get()).to.eql({ text: "1", dueInMs: 1 });
    expect(reads()).to.equal(1);
    gives(() => "2");
    await clock.advance(1);
    expect(await get()).to.eql({ text: "2", dueInMs: 60_000 });
    expect((await get("w")).text).to.equal("2");
    expect(reads()).to.equal(3);
  });

  it("stays when reading fails, which is tried again sooner, with growing pauses", async () => {
    const { clock, get, gives } = made(6_000);
    gives(() => "1");
    await get();
    gives(fail);
    await clock.advance(6_000);
    for (const dueInMs of [1_000, 2_000, 4_000, 6_000, 6_000]) {
      expect(await get()).to.eql({ text: "1", problem: "it is away", dueInMs });
      await clock.advance(dueInMs);
    }
    gives(() => "2");
    expect(await get()).to.eql({ text: "2", dueInMs: 6_000 });
  });

  it("does not stay for another source", async () => {
    const { get, gives } = made();
    gives(() => "1");
    await get("v");
    gives(fail);
    expect(await get("w")).to.eql({ problem: "it is away", dueInMs: 1_000 });
  });

  it("is no failure of anybody's when the process ends", async () => {
    const { get, gives } = made();
    const controller = new AbortController();
    gives(() => {
      controller.abort(new Error("the process is ending"));
      return fail();
    });
    const thrown = await get("v", controller.signal).catch((error: unknown) => String(error));
    expect(thrown).to.equal("Error: the process is ending");
    gives(() => "1");
    expect((await get()).text).to.equal("1");
  });
});

describe("The public-good root's ConfigMap", () => {
  const source = { id: "mine", copy: "copy" };
  const live = (content: ReturnType<typeof editPublicGood>) =>
    ({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { ...metadata, annotations: content.annotations },
      data: content.data,
    }) as ConfigMapObject;

  it("has what was read; then what was last read of that source; else the installation's copy, if that is trusted", () => {
    const read = live(editPublicGood(undefined, { text: "tuf" }, source));
    expect(read.data).to.eql({ "trusted_root.json": "tuf" });
    expect(editPublicGood(read, { problem: "p" }, source).data).to.eql({ "trusted_root.json": "tuf" });
    expect(editPublicGood(read, {}, { ...source, id: "another" }).data).to.eql({ "trusted_root.json": "copy" });
    expect(editPublicGood(read, { problem: "p" }, { id: "another" }).data).to.eql({});
    const copy = live(editPublicGood(undefined, {}, source));
    expect(copy.data).to.eql({ "trusted_root.json": "copy" });
    expect(editPublicGood(copy, {}, { ...source, copy: "newer copy" }).data).to.eql({
      "trusted_root.json": "newer copy",
    });
  });

  it("says what is wrong while something is", () => {
    const problem = (content: ReturnType<typeof editPublicGood>) => content.annotations["entrepot.dev/problem"];
    expect(problem(editPublicGood(undefined, { problem: "p" }, source))).to.match(
      /^p; the copy in the installation is in use; .*--disable-tuf$/,
    );
    expect(problem(editPublicGood(undefined, { problem: "p" }, { id: "x" }))).to.match(
      /^p; until then, .* refuse every image$/,
    );
    expect(problem(editPublicGood(undefined, { text: "t" }, source))).to.equal(undefined);
  });
});
