// What the metrics say of each level of the cache, to the number (fakes: scripted-admission.ts).
import { expect } from "chai";
import { newSealKey } from "../../core/cache/keyring.ts";
import { CACHE_ANNOTATION } from "../../core/cache/record.ts";
import { FakeClock } from "../support/fake-clock.ts";
import {
  APP,
  annotation,
  type Change,
  type Json,
  Outside,
  owned,
  type Replica,
  replica,
  SIGNED,
  UNSIGNED,
  workload,
} from "../support/scripted-admission.ts";

const BY_DIGEST = `ghcr.io/team/app@${SIGNED}`;

/** A clock on which a second has passed whenever it is looked at. */
class TickingClock extends FakeClock {
  #ticks = 0;

  override now(): Date {
    this.#ticks += 1;
    return new Date(super.now().getTime() + this.#ticks * 1_000);
  }
}

describe("the metrics of the cache", () => {
  let outside: Outside;
  let at: Replica;

  beforeEach(async () => {
    outside = new Outside();
    at = await replica(outside);
  });

  /** What was counted since the replica began, by its labels in their order. */
  async function counted(name: string, by: Replica = at): Promise<Readonly<Record<string, number>>> {
    const values = (await by.metrics.getSingleMetric(name)?.get())?.values ?? [];
    return Object.fromEntries(values.map(({ labels, value }) => [Object.values(labels).join(" "), value]));
  }
  const lookups = (by?: Replica) => counted("entrepot_cache_lookups_total", by);
  const refusals = (by?: Replica) => counted("entrepot_cache_refusals_total", by);
  const verifications = (by?: Replica) => counted("entrepot_verifications_total", by);
  const resolutions = (by?: Replica) => counted("entrepot_tag_resolutions_total", by);

  async function deployed(): Promise<Json> {
    const { object } = await at.send("CREATE", workload("Deployment", "app", APP));
    outside.owners.set("app", object);
    return object;
  }

  it("cold: a miss in memory, then the registry; the validating webhook hits memory", async () => {
    await deployed();
    expect(await lookups()).to.deep.equal({ "memory miss": 1, "memory hit": 1 });
    expect(await verifications()).to.deep.equal({ matched: 1 });
    expect(await resolutions()).to.deep.equal({ resolved: 1 });
    expect(await refusals()).to.deep.equal({});
  });

  it("after a restart: the owner's annotation, then memory", async () => {
    await deployed();
    const fresh = await replica(outside);
    await fresh.send("CREATE", workload("Pod", "p", APP, owned("app", "Deployment")));
    expect(await lookups(fresh)).to.deep.equal({ "memory miss": 1, "owner hit": 1, "memory hit": 1 });
    expect(await verifications(fresh)).to.deep.equal({});
    expect(await resolutions(fresh)).to.deep.equal({});
    expect(await counted("entrepot_owner_reads_total", fresh)).to.deep.equal({ "": 1 });
  });

  it("after a restart: an object's own annotation, then memory", async () => {
    const { object } = await at.send("CREATE", workload("Pod", "p", BY_DIGEST));
    const fresh = await replica(outside);
    await fresh.send("CREATE", object);
    expect(await lookups(fresh)).to.deep.equal({ "memory miss": 1, "own hit": 1, "memory hit": 1 });
    expect(await verifications(fresh)).to.deep.equal({});
  });

  it("annotations that say nothing of the image are a miss at their level", async () => {
    const { object } = await at.send("CREATE", workload("Pod", "p", BY_DIGEST));
    const parent = await deployed();
    const fresh = await replica(outside, { uid: "another-policy" });
    const metadata = { ...owned("app", "Deployment"), annotations: object.metadata.annotations };
    await fresh.send("CREATE", workload("Pod", "q", BY_DIGEST, metadata));
    expect(parent.metadata.annotations).to.have.property(CACHE_ANNOTATION);
    const { "own miss": own, "owner miss": owner, "memory hit": hit } = await lookups(fresh);
    expect([own, owner, hit]).to.deep.equal([1, 1, 1]);
    expect(await verifications(fresh)).to.deep.equal({ matched: 1 });
  });

  const changes: Readonly<Record<string, { change?: Change; edit?: (text: string) => string }>> = {
    "too-large": { edit: (text) => `${"#".repeat(70_000)}\n${text}` },
    unsigned: { edit: (text) => text.slice(0, text.indexOf("signature:")) },
    header: {
      edit: (text) => text.replace(/signature: [\w-]+/, `signature: ${Buffer.from("{}").toString("base64url")}`),
    },
    signature: { edit: (text) => text.replace("name: signed", "name: sogned") },
    format: { edit: (text) => `\ud800${text}` },
    "unknown-key": { change: { keyring: { keys: [newSealKey(new Date(0))] } } },
    "cluster-or-epoch": { change: { data: { "dev.entrepot.cache-epoch": "9" } } },
  };
  for (const [reason, { change = {}, edit = (text: string) => text }] of Object.entries(changes))
    for (const level of ["own", "owner"] as const)
      it(`a refusal at level ${level} because of ${reason}, and the verification that it costs`, async () => {
        const parent = await deployed();
        const annotations = { [CACHE_ANNOTATION]: edit(parent.metadata.annotations?.[CACHE_ANNOTATION] ?? "") };
        outside.owners.set("app", { ...parent, metadata: { ...parent.metadata, annotations } });
        const fresh = await replica(outside, change);
        const metadata = level === "own" ? { annotations } : owned("app", "Deployment");
        const { response } = await fresh.send("CREATE", workload("Pod", "p", BY_DIGEST, metadata));
        expect(response.allowed).to.equal(true);
        expect(await refusals(fresh)).to.deep.equal({ [`${level} ${reason}`]: 1 });
        expect(await verifications(fresh)).to.deep.equal({ matched: 1 });
      });

  it("an owner of another uid", async () => {
    const parent = await deployed();
    outside.owners.set("app", { ...parent, metadata: { ...parent.metadata, uid: "another" } });
    const fresh = await replica(outside);
    await fresh.send("CREATE", workload("Pod", "p", BY_DIGEST, owned("app", "Deployment")));
    expect(await refusals(fresh)).to.deep.equal({ "owner owner-uid": 1 });
  });

  it("a verification is counted once, however many wait for it", async () => {
    const pods = Array.from({ length: 50 }, (_, index) => workload("Pod", `p-${index}`, APP));
    await Promise.all(pods.map((pod) => at.send("CREATE", pod)));
    expect(outside.asked).to.include({ resolve: 1, verify: 1 });
    expect(await verifications()).to.deep.equal({ matched: 1 });
    expect(await resolutions()).to.deep.equal({ resolved: 1 });
    const { "memory hit": hits = 0, "memory miss": misses = 0 } = await lookups();
    expect(hits + misses, "each Pod, by both webhooks").to.equal(100);
  });

  it("of those who wait for one answer, the first records it: all are given the same seal", async () => {
    const by = await replica(outside, {}, new TickingClock());
    const pods = Array.from({ length: 20 }, (_, index) => workload("Pod", `p-${index}`, BY_DIGEST));
    const made = await Promise.all(pods.map((pod) => by.send("CREATE", pod)));
    expect(new Set(made.map(({ object }) => annotation(object))).size).to.equal(1);
  });

  it("a refused image and one that could not be decided", async () => {
    const unsigned = workload("Pod", "p", `ghcr.io/team/app@${UNSIGNED}`);
    expect((await at.send("CREATE", unsigned)).response.allowed).to.equal(false);
    expect(await verifications(), "the second webhook is told by memory").to.deep.equal({ failed: 1 });
    outside.outcome = () => {
      throw new Error("the registry burns");
    };
    expect((await at.send("CREATE", workload("Pod", "q", BY_DIGEST))).response.allowed).to.equal(false);
    expect(await verifications()).to.deep.equal({ failed: 1, undecided: 2 });
    outside.tags.clear();
    await at.send("CREATE", workload("Pod", "r", APP));
    expect(await resolutions()).to.deep.equal({ error: 2 });
  });
});
