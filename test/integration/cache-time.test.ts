// What time does to the cache, with a clock that stands still until it is moved (fakes: scripted-admission.ts, fake-clock.ts).
import { expect } from "chai";
import { readRecords } from "../../core/cache/record.ts";
import { ANNOTATION } from "../../crds/names.ts";
import { FakeClock } from "../support/fake-clock.ts";
import {
  APP,
  annotation,
  type Change,
  imageOf,
  type Json,
  nothing,
  Outside,
  owned,
  type Replica,
  replica,
  SIGNED,
  UNSIGNED,
  workload,
} from "../support/scripted-admission.ts";

const SECOND = 1_000;
const HOUR = 3_600 * SECOND;
const DAY = 24 * HOUR;
const BY_DIGEST = `ghcr.io/team/app@${SIGNED}`;

describe("time and the cache", () => {
  let clock: FakeClock;
  let outside: Outside;
  let first: Replica;

  beforeEach(async () => {
    clock = new FakeClock();
    outside = new Outside();
    first = await replica(outside, {}, clock);
  });

  const restarted = (change: Change = {}, at = clock) => replica(outside, change, at);
  const skewed = (ms: number) => new FakeClock(new Date(clock.now().getTime() + ms));

  /** A Deployment, known to the API server with the annotation that it was given. */
  async function deployed(by: Replica = first): Promise<Json> {
    const { object } = await by.send("CREATE", workload("Deployment", "app", APP));
    outside.owners.set("app", object);
    return object;
  }

  const child = (image: string = APP) => workload("Pod", "p", image, owned("app", "Deployment"));

  /** What admitting a Pod of the Deployment asks of registries. */
  async function asks(by: Replica, pod: Json = child()): Promise<{ resolve: number; verify: number }> {
    outside.asked = { ...nothing };
    const { response } = await by.send("CREATE", pod);
    expect(response.allowed, response.status?.message).to.equal(true);
    const { resolve, verify } = outside.asked;
    return { resolve, verify };
  }
  const HIT = { resolve: 0, verify: 0 };
  const MISS = { resolve: 1, verify: 1 };

  it("a record, and the pin beside it, live a day: from the annotation, and in memory", async () => {
    await deployed();
    await clock.advance(DAY - SECOND);
    expect(await asks(first)).to.deep.equal(HIT);
    expect(await asks(await restarted())).to.deep.equal(HIT);
    await clock.advance(SECOND);
    expect(await asks(first)).to.deep.equal(MISS);
    expect(await asks(await restarted())).to.deep.equal(MISS);
  });

  it("no number of hits makes it live longer", async () => {
    const sealed = annotation(await deployed());
    for (let hour = 0; hour < 23; hour += 1) {
      await clock.advance(HOUR);
      const { object } = await first.send("CREATE", child());
      expect(annotation(object)).to.equal(sealed);
    }
    await clock.advance(HOUR);
    expect(await asks(first)).to.deep.equal(MISS);
  });

  it("an unsigned image under an expired pin is refused", async () => {
    await deployed();
    outside.tags.set(APP, UNSIGNED);
    await clock.advance(DAY - SECOND);
    expect(imageOf((await first.send("CREATE", child())).object)).to.equal(`${APP}@${SIGNED}`);
    await clock.advance(SECOND);
    expect((await first.send("CREATE", child())).response.allowed).to.equal(false);
  });

  it("a replica whose clock is up to a minute behind believes, one further behind verifies", async () => {
    await deployed();
    expect(await asks(await restarted({}, skewed(-60 * SECOND)))).to.deep.equal(HIT);
    expect(await asks(await restarted({}, skewed(-61 * SECOND)))).to.deep.equal(MISS);
  });

  it("a replica whose clock is ahead ends a record early, never late", async () => {
    await deployed();
    expect(await asks(await restarted({}, skewed(DAY - SECOND)))).to.deep.equal(HIT);
    expect(await asks(await restarted({}, skewed(DAY)))).to.deep.equal(MISS);
  });

  for (const [name, change] of [
    ["the ConfigMap", (ttl: string): Change => ({ data: { "dev.entrepot.cache-ttl": ttl } })],
    ["the policy", (ttl: string): Change => ({ annotations: { [ANNOTATION.cacheTtl]: ttl } })],
  ] as const) {
    it(`a shorter ttl of ${name} ends older records at once, in memory and on objects; undone, they live again`, async () => {
      await deployed();
      await clock.advance(2 * HOUR);
      expect(await asks(first)).to.deep.equal(HIT);
      await first.become(change("2h"));
      expect(await asks(first)).to.deep.equal(MISS);
      expect(await asks(await restarted(change("2h")))).to.deep.equal(MISS);
      expect(await asks(await restarted(change("121m")))).to.deep.equal(HIT);
      expect(await asks(await restarted())).to.deep.equal(HIT);
    });

    it(`a longer ttl of ${name} extends nothing that was sealed, only what is sealed from now on`, async () => {
      await deployed();
      await clock.advance(DAY);
      await first.become(change("7d"));
      expect(await asks(first)).to.deep.equal(MISS);
      await deployed();
      await clock.advance(7 * DAY - SECOND);
      expect(await asks(await restarted(change("7d")))).to.deep.equal(HIT);
      await clock.advance(SECOND);
      expect(await asks(await restarted(change("7d")))).to.deep.equal(MISS);
    });
  }

  it("a policy's ttl of 0: nothing is sealed, pinned for others or believed; both webhooks share one verification", async () => {
    await deployed();
    const never: Change = { annotations: { [ANNOTATION.cacheTtl]: "0" } };
    await first.become(never);
    await clock.advance(61 * SECOND);
    expect(await asks(first)).to.deep.equal(MISS);
    await clock.advance(11 * SECOND);
    expect(await asks(first)).to.deep.equal({ resolve: 0, verify: 1 });
    const { object } = await (await restarted(never)).send("CREATE", workload("Pod", "q", APP));
    expect(imageOf(object)).to.equal(`${APP}@${SIGNED}`);
    expect(annotation(object)).to.equal(undefined);
  });

  it("of two policies, the one with ttl 0 leaves the other's records alone", async () => {
    const change: Change = { annotations: { [ANNOTATION.cacheTtl]: "0" }, others: [{}] };
    const { object } = await (await restarted(change)).send("CREATE", workload("Pod", "q", BY_DIGEST));
    const text = annotation(object) ?? "";
    const sealed = readRecords(text.slice(0, text.lastIndexOf("signature: ")));
    expect([...(sealed?.records.get(BY_DIGEST)?.keys() ?? [])]).to.deep.equal(["o0"]);
    expect(await asks(await restarted(change), object)).to.deep.equal({ resolve: 0, verify: 1 });
  });

  it("a tag without an owner is asked for once a minute, by what `tag-ttl` says at that moment", async () => {
    const pod = workload("Pod", "p", APP);
    expect(await asks(first, pod)).to.deep.equal(MISS);
    await clock.advance(60 * SECOND);
    expect(await asks(first, pod)).to.deep.equal(HIT);
    await clock.advance(1);
    expect(await asks(first, pod)).to.deep.equal({ resolve: 1, verify: 0 });
    await clock.advance(2 * SECOND);
    await first.become({ data: { "dev.entrepot.tag-ttl": "1s" } });
    expect(await asks(first, pod)).to.deep.equal({ resolve: 1, verify: 0 });
  });

  it("a tag's digest from the future, after the clock was set back, is asked for again", async () => {
    const pod = workload("Pod", "p", APP);
    await asks(first, pod);
    const [key = ""] = first.memory.pins.keys();
    const resolvedAt = clock.now().getTime() + HOUR;
    first.memory.pins.clear();
    first.memory.pins.set(key, { digest: UNSIGNED, resolvedAt });
    expect((await asks(first, pod)).resolve).to.equal(1);
  });

  it("a refusal is remembered for five seconds", async () => {
    const pod = workload("Pod", "p", `ghcr.io/team/app@${UNSIGNED}`);
    const verified = async () => {
      outside.asked = { ...nothing };
      expect((await first.send("CREATE", pod)).response.allowed).to.equal(false);
      return outside.asked.verify;
    };
    expect(await verified()).to.equal(1);
    await clock.advance(5 * SECOND);
    expect(await verified()).to.equal(0);
    await clock.advance(1);
    expect(await verified()).to.equal(1);
  });

  it("memory holds no record longer than the record lives", async () => {
    await deployed(await restarted());
    await clock.advance(20 * HOUR);
    expect(await asks(first)).to.deep.equal(HIT);
    expect(first.memory.records.size).to.equal(1);
    const [key = ""] = first.memory.records.keys();
    expect(first.memory.records.getRemainingTTL(key)).to.equal(4 * HOUR);
    await clock.advance(4 * HOUR + 1);
    expect(first.memory.records.get(key)).to.equal(undefined);
  });

  it("turned off while running, the cache is off in memory too", async () => {
    await deployed();
    await clock.advance(11 * SECOND);
    await first.become({ flag: "false" });
    expect((await asks(first)).verify).to.equal(1);
  });

  it("a changed epoch ends every record, in memory and on objects", async () => {
    await deployed();
    await first.become({ data: { "dev.entrepot.cache-epoch": "1" } });
    expect((await asks(first)).verify).to.equal(1);
    expect((await asks(await restarted({ data: { "dev.entrepot.cache-epoch": "1" } }))).verify).to.equal(1);
  });
});
