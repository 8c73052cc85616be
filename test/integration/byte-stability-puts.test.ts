// Whole objects written by others, as replaced PUTs bring them, with scripted registries (a fake: test/support/scripted-admission.ts).
import { generateKeyPairSync } from "node:crypto";
import { expect } from "chai";
import { newSealKey } from "../../core/cache/keyring.ts";
import { CACHE_ANNOTATION } from "../../core/cache/record.ts";
import { FakeClock } from "../support/fake-clock.ts";
import {
  APP,
  annotation,
  type Json,
  KEY,
  nothing,
  Outside,
  owned,
  type Replica,
  replica,
  SIGNED,
  UNSIGNED,
  workload,
} from "../support/scripted-admission.ts";

const PEM = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({ type: "spki", format: "pem" });
const DAY_MS = 24 * 3_600_000;

/** The same object with another annotation, or with none. */
function carrying(object: Json, text: string | undefined): Json {
  const annotations = { ...object.metadata.annotations };
  delete annotations[CACHE_ANNOTATION];
  return {
    ...object,
    metadata: { ...object.metadata, annotations: { ...annotations, ...(text && { [CACHE_ANNOTATION]: text }) } },
  };
}

describe("an annotation that a PUT does not bring back as it was", () => {
  let clock: FakeClock;
  let outside: Outside;
  let live: Json;
  let later: Replica;
  beforeEach(async () => {
    clock = new FakeClock();
    outside = new Outside();
    live = (await (await replica(outside, {}, clock)).send("CREATE", workload("Deployment", "app", APP))).object;
    await clock.advance(3_600_000); // a tag's digest is long forgotten
    later = await replica(outside, {}, clock);
    outside.asked = { ...nothing };
  });

  /** What a PUT of `object` over what is live leaves, on a replica that remembers nothing. */
  const put = async (object: Json, over = live) => {
    const { response, object: left } = await later.send("UPDATE", object, { oldObject: over });
    expect(response.allowed).to.equal(true);
    return annotation(left);
  };

  for (const [what, text] of [
    ["dropped", () => undefined],
    ["edited", (sealed: string) => sealed.replace("s1", "s2")],
    ["replaced by garbage", () => "records: {}\nsignature: x\n"],
  ] as const) {
    it(`${what}: it is put back byte for byte, and nobody is asked`, async () => {
      expect(await put(carrying(live, text(annotation(live) ?? "")))).to.equal(annotation(live));
      expect(outside.asked).to.deep.equal(nothing);
    });
  }

  it("dropped with the registry off: it is put back all the same", async () => {
    outside.tags.clear();
    expect(await put(carrying(live, undefined))).to.equal(annotation(live));
  });

  it("dropped along with a change of the template: the tag is asked for, the image is not verified again", async () => {
    const template = { metadata: { labels: { a: "b" } }, spec: { containers: [{ name: "c", image: APP }] } };
    expect(await put({ ...carrying(live, undefined), spec: { template } })).to.equal(annotation(live));
    expect(outside.asked).to.deep.equal({ ...nothing, resolve: 1, secrets: outside.asked.secrets });
  });

  it("dropped along with a change of the template, the tag moved: what it is now is sealed", async () => {
    outside.tags.set(APP, UNSIGNED);
    outside.outcome = () => ({ kind: "matched", match: { signatures: [{ id: "s1" }] } });
    const template = { metadata: { labels: { a: "b" } }, spec: { containers: [{ name: "c", image: APP }] } };
    expect(await put({ ...carrying(live, undefined), spec: { template } }))
      .to.include(UNSIGNED)
      .and.not.include(SIGNED);
  });

  it("dropped where one of two tags was moved to what fails, under a policy that warns: its pin does not come back", async () => {
    const other = "ghcr.io/team/other:v1";
    outside.tags.set(other, SIGNED);
    await later.become({ spec: { mode: "warn" } });
    const containers = [APP, other].map((image, index) => ({ name: `c${index}`, image }));
    const of = (labels: object): Json => ({
      ...live,
      spec: { template: { metadata: { labels }, spec: { containers } } },
    });
    const { object: both } = await later.send("UPDATE", of({}), { oldObject: live });
    expect(annotation(both)).to.include(`${APP}: ${SIGNED}`);
    outside.tags.set(APP, UNSIGNED);
    expect(await put(carrying(of({ a: "b" }), undefined), both))
      .to.be.a("string")
      .and.not.include(`${APP}: `);
  });

  it("dropped after the key was rotated: byte for byte, not sealed anew", async () => {
    await later.become({
      keyring: { keys: [newSealKey(clock.now()), { ...KEY, retired: clock.now().getTime() / 1000 }] },
    });
    expect(await put(carrying(live, undefined))).to.equal(annotation(live));
  });

  it("dropped after one of two policies was deleted: byte for byte, as if nobody had dropped it", async () => {
    const both = { others: [{ images: [{ glob: "**" }], authorities: [{ key: { data: PEM } }] }] };
    const { object } = await (await replica(outside, both, clock)).send("CREATE", workload("Deployment", "app", APP));
    expect(annotation(object)).to.include("other-0");
    expect(await put(carrying(object, undefined), object)).to.equal(annotation(object));
  });

  it("dropped along with the image: nothing of it comes back", async () => {
    outside.tags.set("ghcr.io/team/other:v1", SIGNED);
    const other = workload("Deployment", "app", "ghcr.io/team/other:v1");
    expect(await put(other))
      .to.include("ghcr.io/team/other@")
      .and.not.include("ghcr.io/team/app@");
  });

  it("an older one that holds, of the same image: it is taken as it is, so that whoever brings it finds it again", async () => {
    const { object } = await later.send("CREATE", workload("Deployment", "app", APP));
    expect(annotation(object)).to.not.equal(annotation(live));
    outside.asked = { ...nothing };
    expect(await put(live, object)).to.equal(annotation(live));
    expect(outside.asked).to.deep.equal(nothing);
  });

  it("an older one that pins the tag to another digest: the one that the object had is put back", async () => {
    outside.tags.set(APP, UNSIGNED);
    outside.outcome = () => ({ kind: "matched", match: { signatures: [{ id: "s1" }] } });
    const { object } = await later.send("CREATE", workload("Deployment", "app", APP));
    expect(annotation(object)).to.include(UNSIGNED);
    outside.asked = { ...nothing };
    expect(await put(carrying(object, annotation(live)), object)).to.equal(annotation(object));
    expect(outside.asked).to.deep.equal(nothing);
  });

  it("dropped after it has expired: the image is verified and sealed anew", async () => {
    await clock.advance(DAY_MS);
    expect(await put(carrying(live, undefined)))
      .to.be.a("string")
      .and.not.equal(annotation(live));
    expect(outside.asked).to.include({ resolve: 1, verify: 1 });
  });

  it("one that was forged before and is dropped now: it does not come back", async () => {
    const forged = carrying(live, annotation(live)?.replace("s1", "s2"));
    expect(await put(carrying(live, undefined), forged)).to.not.equal(annotation(forged));
    expect(outside.asked).to.include({ resolve: 1, verify: 1 });
  });

  it("a controller that copies its own annotation to what it owns, as a Deployment's does, has its way", async () => {
    const metadata = { annotations: { ...live.metadata.annotations }, ...owned("app", "Deployment") };
    const replicaSet = workload("ReplicaSet", "app-1", APP, metadata);
    const { object: newer } = await later.send("CREATE", workload("Deployment", "app", APP));
    expect(annotation(newer)).to.not.equal(annotation(live));
    expect(await put(carrying(replicaSet, annotation(newer)), replicaSet)).to.equal(annotation(newer));
  });

  it("dropped from a ReplicaSet whose Deployment is gone, with the registry off: it is put back", async () => {
    const metadata = { annotations: { ...live.metadata.annotations }, ...owned("gone", "Deployment") };
    const replicaSet = workload("ReplicaSet", "app-1", APP, metadata);
    outside.tags.clear();
    expect(await put(carrying(replicaSet, undefined), replicaSet)).to.equal(annotation(live));
  });

  it("off: what others write stays as they write it", async () => {
    await later.become({ flag: "false" });
    expect(await put(carrying(live, undefined))).to.equal(undefined);
    expect(outside.asked).to.deep.equal(nothing);
  });
});
