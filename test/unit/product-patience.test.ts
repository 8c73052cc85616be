import { expect } from "chai";
import { durationMs } from "../../core/duration.ts";
import type { CacheRegistryObject } from "../../crds/index.ts";
import { Patience } from "../../operator/providers/patience.ts";
import { driftMs } from "../../operator/providers/remote.ts";
import { FakeClock } from "../support/fake-clock.ts";
import type { SimulatedCluster } from "../support/simulated-cluster.ts";
import type { Fault } from "../support/simulated-product.ts";
import { withRestedCluster } from "../support/simulated-registry.ts";

const MINUTE = 60;
const object = (name: string, uid = name) => ({ metadata: { name, uid } }) as CacheRegistryObject;

describe("patience with a registry's product", () => {
  it("counts from the first attempt, each object by itself, and anew for another object of the name", async () => {
    const clock = new FakeClock();
    const patience = new Patience(clock, 1_000);
    await clock.advance(10_000);
    expect(patience.isOver(object("a"))).to.equal(false);
    await clock.advance(1_000);
    expect([patience.isOver(object("a")), patience.isOver(object("b"))]).to.deep.equal([false, false]);
    await clock.advance(1);
    expect([patience.isOver(object("a")), patience.isOver(object("b"))]).to.deep.equal([true, false]);
    expect(patience.isOver(object("a", "another"))).to.equal(false);
    patience.forget("b");
    await clock.advance(5_000);
    expect(patience.isOver(object("b"))).to.equal(false);
  });

  it("counts anew with a step that the product had not said before, and with no other", async () => {
    const clock = new FakeClock();
    const patience = new Patience(clock, 1_000);
    for (const step of ["3 are left", "2 are left", "1 is left"]) {
      expect(patience.isOver(object("a"), step)).to.equal(false);
      await clock.advance(900);
    }
    expect(patience.isOver(object("a"), "2 are left")).to.equal(false);
    await clock.advance(200);
    expect(patience.isOver(object("a"), "3 are left")).to.equal(true);
  });
});

describe("a CacheRegistry's drift interval", () => {
  it("is every duration that the custom resource takes", () => {
    const of = (driftInterval?: string) =>
      driftMs({ spec: { ...(driftInterval && { driftInterval }) } } as CacheRegistryObject, {
        driftMs: 7,
        unhealthyMs: 1,
        patienceMs: 1,
      });
    expect(["1.5h", "0.5h", "90000ms", "1h30m", "10s", undefined].map(of)).to.deep.equal([
      5_400_000, 1_800_000, 90_000, 5_400_000, 10_000, 7,
    ]);
    expect(durationMs("1d")).to.equal(undefined);
  });
});

describe("a CacheRegistry and its product", () => {
  const ready = (cluster: SimulatedCluster) => {
    const found = cluster.registry("main")?.status?.conditions?.find(({ type }) => type === "Ready");
    return `${found?.status} ${found?.reason}`;
  };
  const fault = (fault: Fault, times: number) => Array.from({ length: times }, () => fault);

  it("is waited for from its first attempt, though the deletion waited longer for the rules", async () => {
    await withRestedCluster(async (cluster, product) => {
      cluster.applyRule("last");
      await cluster.advance(10);
      cluster.deleteRegistry("main");
      await cluster.advance(30 * MINUTE);
      expect(ready(cluster)).to.equal("False RulesRemain");
      cluster.deleteRule("last");
      await cluster.advance(10);
      expect(cluster.rule("last")).to.equal(undefined);
      product.faultsOfWithdraw.push(...fault("unavailable", 3));
      cluster.deleteRegistry("main");
      await cluster.advance(1);
      expect(ready(cluster)).to.equal("False Deleting");
      await cluster.advance(MINUTE);
      expect(cluster.registry("main")).to.equal(undefined);
      expect(cluster.events.map(({ reason }) => reason)).to.not.include("LeftBehind");
    });
  });

  it("is given up after ten minutes of that, with a word about what stays", async () => {
    await withRestedCluster(async (cluster, product) => {
      product.faultsOfWithdraw.push(...fault("unavailable", 10_000));
      cluster.deleteRegistry("main");
      await cluster.advance(9 * MINUTE);
      expect(ready(cluster)).to.equal("False Deleting");
      await cluster.advance(2 * MINUTE);
      expect(cluster.registry("main")).to.equal(undefined);
      expect(cluster.events.at(-1)).to.include({ reason: "LeftBehind" });
    });
  });

  it("says that the product does not answer, also when that asks to be left alone meanwhile", async () => {
    await withRestedCluster(async (cluster, product) => {
      expect(ready(cluster)).to.equal("True Ready");
      product.faults.push(...fault("unavailable-for-now", 1));
      await cluster.advance(11 * MINUTE);
      expect(cluster.events.map(({ note }) => note)).to.include("it is not available for now");
      expect(ready(cluster)).to.equal("True Ready");
    });
  });

  it("keeps quiet about a product that is throttled for a moment, and not for longer", async () => {
    await withRestedCluster(async (cluster, product) => {
      product.faults.push("throttled");
      await cluster.advance(20 * MINUTE);
      expect(product.faults).to.deep.equal([]);
      expect(cluster.events.map(({ reason }) => reason)).to.not.include("Throttled");
      product.faults.push(...fault("throttled", 60)); // half an hour of it
      await cluster.advance(15 * MINUTE);
      expect(ready(cluster)).to.equal("False Throttled");
      await cluster.advance(40 * MINUTE);
      expect(ready(cluster)).to.equal("True Ready");
    });
  });
});
