import { readFileSync } from "node:fs";
import { expect } from "chai";
import { type Clock, systemClock } from "../../adapters/clock.ts";
import { LocalProduct } from "../../hack/local/product.ts";
import { rehearse } from "../../webhooks/rehearsal.ts";
import { type ClusterHandle, requireNoOperator, sharedCluster } from "../support/cluster.ts";

describe("the rehearsal of a webhook that starts", () => {
  it("is over after a second of the clock, however slow the machine", async () => {
    let asked = 0;
    const slow: Clock = { ...systemClock, monotonicMs: () => 100 * asked++ };
    expect(await rehearse(slow)).to.be.within(1, 10);
  });

  it("goes through what is most frequent, and all of it is admitted", async function () {
    this.timeout(20_000);
    expect(await rehearse(systemClock)).to.be.greaterThan(5);
  });

  describe("in the process", () => {
    let cluster: ClusterHandle;
    let product: LocalProduct;

    before(async function () {
      this.timeout(0);
      cluster = await sharedCluster();
      requireNoOperator(this, cluster);
      product = await LocalProduct.start(cluster);
    });

    after(async function () {
      this.timeout(60_000);
      await product?.remove();
    });

    it("comes before readiness, and is in no count", async () => {
      expect(readFileSync(cluster.logPath("webhook"), "utf8")).to.match(
        /"rounds":\d+.*"rehearsed"|"rehearsed".*"rounds":\d+/,
      );
      const samples = (await product.metrics("webhook")).split("\n").filter((line) => !line.startsWith("#"));
      const counted = samples.filter((line) => /^entrepot_(cache|verifications|owner|admission|tag)/.test(line));
      expect(counted.filter((line) => !line.endsWith(" 0"))).to.deep.equal([]);
    });
  });
});
