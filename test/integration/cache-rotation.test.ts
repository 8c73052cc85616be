// What the rotation of the seal keys does to the cache, with replicas that are late (fakes: scripted-admission.ts, fake-clock.ts).
import { expect } from "chai";
import {
  activeKey,
  type Keyring,
  NEXT_KEY_LEAD_SECONDS,
  newSealKey,
  rotateKeyring,
  type SealKey,
} from "../../core/cache/keyring.ts";
import { claimedKeyId } from "../../core/cache/seal.ts";
import { FakeClock } from "../support/fake-clock.ts";
import {
  APP,
  annotation,
  type Change,
  type Json,
  nothing,
  Outside,
  owned,
  type Replica,
  replica,
  SIGNED,
  workload,
} from "../support/scripted-admission.ts";

const SECOND = 1_000;
const HOUR = 3_600 * SECOND;
const DAY = 24 * HOUR;
const BY_DIGEST = `ghcr.io/team/app@${SIGNED}`;

describe("the rotation of the seal keys and the cache", () => {
  let clock: FakeClock;
  let outside: Outside;

  beforeEach(() => {
    clock = new FakeClock();
    outside = new Outside();
  });

  const restarted = (change: Change) => replica(outside, change, clock);
  const skewed = (ms: number) => new FakeClock(new Date(clock.now().getTime() + ms));

  /** A Deployment, known to the API server with the annotation that it was given. */
  async function deployed(by: Replica): Promise<Json> {
    const { object } = await by.send("CREATE", workload("Deployment", "app", APP));
    outside.owners.set("app", object);
    return object;
  }

  const child = () => workload("Pod", "p", APP, owned("app", "Deployment"));

  /** What admitting a Pod of the Deployment asks of registries. */
  async function asks(by: Replica, pod: Json = child()): Promise<{ resolve: number; verify: number }> {
    outside.asked = { ...nothing };
    const { response } = await by.send("CREATE", pod);
    expect(response.allowed, response.status?.message).to.equal(true);
    const { resolve, verify } = outside.asked;
    return { resolve, verify };
  }
  const refusals = async ({ metrics }: Replica) =>
    (await metrics.getSingleMetric("entrepot_cache_refusals_total")?.get())?.values.reduce(
      (sum, { value }) => sum + value,
      0,
    );
  const HIT = { resolve: 0, verify: 0 };
  const MISS = { resolve: 1, verify: 1 };

  const RULE = { rotateAfterSeconds: 30 * 86_400, keepRetiredSeconds: 31 * 86_400 };
  const rotated = (ring: Keyring | undefined, at = clock) => rotateKeyring(ring, RULE, at.now(), newSealKey);
  /** What rings a cluster has over two rotations. */
  async function rings(): Promise<{ first: Keyring; second: Keyring; third: Keyring }> {
    const first = rotated(undefined);
    await clock.advance(30 * DAY);
    const second = rotated(first);
    await clock.advance(30 * DAY);
    return { first, second, third: rotated(second) };
  }
  const kidOf = (object: Json) => claimedKeyId(annotation(object) ?? "");

  it("a replica that is a rotation late opens what others seal, and they what it seals", async () => {
    const { first: old, second: ring } = await rings();
    for (const [sealing, opening] of [
      [ring, old],
      [old, ring],
    ] as const) {
      const parent = await deployed(await restarted({ keyring: sealing }));
      expect(kidOf(parent)).to.equal(activeKey(sealing).kid);
      const by = await restarted({ keyring: opening });
      expect(await asks(by)).to.deep.equal(HIT);
      expect(await refusals(by)).to.equal(0);
    }
  });

  it("one that is two rotations late does not know the key: it verifies, and refuses nobody", async () => {
    const { first: old, third: ring } = await rings();
    await deployed(await restarted({ keyring: ring }));
    const by = await restarted({ keyring: old });
    expect(await asks(by)).to.deep.equal(MISS);
    expect(await refusals(by)).to.be.above(0);
  });

  it("a key that signs as soon as it is made, as it was before, is unknown to who is late", async () => {
    const before = { keys: [newSealKey(clock.now())] };
    const [active] = before.keys;
    const after = { keys: [newSealKey(clock.now()), { ...active, retired: clock.now().getTime() / 1000 } as SealKey] };
    await deployed(await restarted({ keyring: after }));
    const late = await restarted({ keyring: before });
    expect(await asks(late)).to.deep.equal(MISS);
    expect(await refusals(late)).to.be.above(0);
  });

  const DEMAND = { ...RULE, rotateAfterSeconds: 0 };

  it("the clocks of the leader before and after may be a minute apart, in either direction", async () => {
    for (const skew of [-60, 60]) {
      const old = rotated(undefined, skewed(skew * SECOND));
      await clock.advance((NEXT_KEY_LEAD_SECONDS + skew) * SECOND);
      const ring = rotateKeyring(old, DEMAND, clock.now(), newSealKey);
      expect(activeKey(ring).kid, `${skew}`).to.not.equal(activeKey(old).kid);
      await deployed(await restarted({ keyring: ring }));
      expect(await asks(await restarted({ keyring: old }))).to.deep.equal(HIT);
    }
  });

  it("nothing is asked of anybody, and an annotation that opens stays as it is, byte for byte", async () => {
    const old = rotated(undefined);
    await clock.advance(30 * DAY);
    const by = await restarted({ keyring: old });
    const parent = await deployed(by);
    const [pod] = [await by.send("CREATE", child())];
    const ring = rotated(old);
    await by.become({ keyring: ring });
    outside.asked = { ...nothing };
    const changed = { ...parent, metadata: { ...parent.metadata, labels: { changed: "yes" } } };
    const updated = await by.send("UPDATE", changed, { oldObject: parent });
    expect(annotation(updated.object)).to.equal(annotation(parent));
    const again = await by.send("CREATE", pod.object); // it brings the annotation that the retired key sealed
    expect(annotation(again.object)).to.equal(annotation(parent));
    const inherits = await by.send("CREATE", child());
    expect(annotation(inherits.object)).to.equal(annotation(parent));
    const fresh = await by.send("CREATE", workload("Pod", "q", BY_DIGEST));
    expect(kidOf(fresh.object)).to.equal(activeKey(ring).kid);
    expect(outside.asked).to.deep.equal(nothing);
    expect(await refusals(by)).to.equal(0);
  });

  it("a key set of the version before, and the one it becomes, open each other's seals", async () => {
    const before = { keys: [newSealKey(clock.now())] };
    await deployed(await restarted({ keyring: before }));
    const upgraded = rotated(before);
    expect(await asks(await restarted({ keyring: upgraded }))).to.deep.equal(HIT);
    await clock.advance(23 * HOUR);
    await deployed(await restarted({ keyring: rotateKeyring(upgraded, DEMAND, clock.now(), newSealKey) }));
    expect(await asks(await restarted({ keyring: upgraded }))).to.deep.equal(HIT);
  });

  it("a dropped key opens nothing any more, not even what this replica had opened", async () => {
    const stolen = newSealKey(clock.now());
    const by = await restarted({ keyring: { keys: [stolen] } });
    await deployed(by);
    await asks(by);
    await by.become({ keyring: { keys: [newSealKey(clock.now())] } });
    expect((await asks(by)).verify).to.equal(1);
  });

  it("a key that leaves the ring after its time costs nobody a verification", async () => {
    const [active, former] = [newSealKey(clock.now()), newSealKey(clock.now())];
    const retired = { ...former, retired: clock.now().getTime() / 1000 - 31 * 86_400 };
    const by = await restarted({ keyring: { keys: [active, retired] } });
    await deployed(by);
    await by.become({ keyring: { keys: [active] } });
    expect(by.memory.records.size).to.equal(1);
    expect(await asks(by)).to.deep.equal(HIT);
  });

  it("a request under way while the ring changes does not bring a dropped key back", async () => {
    const by = await restarted({ keyring: { keys: [newSealKey(clock.now())] } });
    const { object } = await by.send("CREATE", workload("Pod", "p", BY_DIGEST));
    const text = annotation(object) ?? "";
    const { sealer } = by.snapshot;
    await by.become({ keyring: { keys: [newSealKey(clock.now())] } });
    by.memory.records.clear();
    by.memory.opened.set(text, { by: sealer, opened: sealer.open(text) });
    expect((await asks(by, object)).verify).to.equal(1);
  });
});
