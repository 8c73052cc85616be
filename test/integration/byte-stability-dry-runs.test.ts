// Dry runs, with scripted registries and a clock that is moved (a fake: test/support/scripted-admission.ts).
import { expect } from "chai";
import { FakeClock } from "../support/fake-clock.ts";
import {
  APP,
  annotation,
  imageOf,
  type Json,
  nothing,
  Outside,
  owned,
  replica,
  SIGNED,
  UNSIGNED,
  workload,
} from "../support/scripted-admission.ts";

const DAY_MS = 24 * 3_600_000;
const PINNED = `ghcr.io/team/app@${SIGNED}`;

describe("a dry run", () => {
  let clock: FakeClock;
  let outside: Outside;
  beforeEach(() => {
    clock = new FakeClock();
    outside = new Outside();
  });

  const dryRun = true;
  const withEnv = (object: Json, value: string): Json => {
    const podSpec = { containers: [{ name: "c", image: PINNED, env: [{ name: "A", value }] }] };
    return { ...object, spec: { template: { metadata: {}, spec: podSpec } } };
  };
  const restarted = (object: Json): Json => {
    const podSpec = { containers: [{ name: "c", image: APP }] };
    return { ...object, spec: { template: { metadata: { annotations: { restartedAt: "now" } }, spec: podSpec } } };
  };

  it("teaches nobody what an owner would say: its children are told what was written", async () => {
    const by = await replica(outside, {}, clock);
    const { object } = await by.send("CREATE", workload("Deployment", "app", APP));
    outside.owners.set("app", object);
    outside.tags.set(APP, UNSIGNED);
    outside.outcome = () => ({ kind: "matched", match: { signatures: [{ id: "s1" }] } });
    const tried = await by.send("UPDATE", restarted(object), { oldObject: object, dryRun });
    expect(annotation(tried.object)).to.include(UNSIGNED);
    expect(by.memory.owners.size).to.equal(0);
    const child = await by.send("CREATE", workload("Pod", "p", APP, owned("app", "Deployment")));
    expect(imageOf(child.object)).to.equal(`${APP}@${SIGNED}`);
  });

  it("of what is refused sends no Event; the real run does", async () => {
    outside.tags.set(APP, UNSIGNED);
    const by = await replica(outside, {}, clock);
    expect((await by.send("CREATE", workload("Pod", "p", APP), { dryRun })).response.allowed).to.equal(false);
    expect(outside.events).to.deep.equal([]);
    expect((await by.send("CREATE", workload("Pod", "p", APP))).response.allowed).to.equal(false);
    expect(outside.events).to.have.length(1);
  });

  it("of a new image gives the same bytes as the real run an hour later: the result is of when it was found", async () => {
    const by = await replica(outside, {}, clock);
    const tried = await by.send("CREATE", workload("Deployment", "app", APP), { dryRun });
    await clock.advance(3_600_000);
    outside.asked = { ...nothing };
    const real = await by.send("CREATE", workload("Deployment", "app", APP));
    expect(annotation(real.object)).to.equal(annotation(tried.object));
    expect(outside.asked).to.include({ resolve: 1, verify: 0 });
  });

  it("just before a record ends and a sync just after differ, and the next dry run agrees with what was written", async () => {
    const by = await replica(outside, {}, clock);
    const { object: live } = await by.send("CREATE", workload("Deployment", "app", PINNED));
    await clock.advance(DAY_MS - 1_000);
    const changed = withEnv(live, "b");
    const tried = await by.send("UPDATE", changed, { oldObject: live, dryRun });
    expect(annotation(tried.object)).to.equal(annotation(live));
    await clock.advance(2_000);
    const { object: written } = await by.send("UPDATE", changed, { oldObject: live });
    expect(annotation(written)).to.be.a("string").and.not.equal(annotation(live));
    outside.asked = { ...nothing };
    const next = await (await replica(outside, {}, clock)).send("UPDATE", written, { oldObject: written, dryRun });
    expect(annotation(next.object)).to.equal(annotation(written));
    expect(outside.asked).to.deep.equal(nothing);
  });

  it("of an unchanged object keeps the bytes of records that have ended", async () => {
    const by = await replica(outside, {}, clock);
    const { object: live } = await by.send("CREATE", workload("Deployment", "app", APP));
    await clock.advance(2 * DAY_MS);
    outside.asked = { ...nothing };
    const { object } = await by.send("UPDATE", live, { oldObject: live, dryRun });
    expect(annotation(object)).to.equal(annotation(live));
    expect(outside.asked).to.deep.equal(nothing);
  });
});
