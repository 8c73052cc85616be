import { expect } from "chai";
import { summarize } from "../../bench/summary.ts";
import { roundCell } from "../support/bench-cells.ts";

describe("the bench's summary", () => {
  const noop = { contestant: "noop" };

  it("divides by the baseline of the same round, and only then takes the median of rounds", () => {
    // The machine is four times as slow in the second round; medians of milliseconds would make 1.5 or 6 of it.
    const cells = summarize([
      roundCell({ ...noop, round: 0, p50: 2, throughput: 400 }),
      roundCell({ round: 0, p50: 3, throughput: 300 }),
      roundCell({ ...noop, round: 1, p50: 8, throughput: 100 }),
      roundCell({ round: 1, p50: 8, throughput: 100 }),
      roundCell({ ...noop, round: 2, p50: 2, throughput: 400 }),
      roundCell({ round: 2, p50: 2.4, throughput: 360 }),
    ]);
    const ours = cells.find(({ contestant }) => contestant === "entrepot");
    expect(ours?.ratios["noop"]?.p50).to.be.closeTo(1.2, 1e-9);
    expect(ours?.ratios["noop"]?.throughput).to.be.closeTo(0.9, 1e-9);
    expect(ours?.p50).to.equal(3);
    expect(ours?.samples).to.equal(1500);
    expect(ours?.rounds).to.equal(3);
  });

  it("takes a baseline, which was measured without delay, for every delay, but never another scenario or concurrency", () => {
    const cells = summarize([
      roundCell({ ...noop, p50: 2 }),
      roundCell({ delayMs: 50, p50: 3 }),
      roundCell({ concurrency: 16, p50: 30 }),
      roundCell({ scenario: "cold", p50: 30 }),
    ]);
    const ratios = cells.filter(({ contestant }) => contestant === "entrepot").map((one) => one.ratios["noop"]?.p50);
    expect(ratios).to.deep.equal([1.5, undefined, undefined]);
  });

  it("says the most registry requests of a round and all failures, not their median", () => {
    const [one] = summarize([
      roundCell({ round: 0, registryRequests: 0, failures: 0 }),
      roundCell({ round: 1, registryRequests: 4, failures: 2 }),
      roundCell({ round: 2, registryRequests: 0, failures: 1 }),
    ]);
    expect(one?.registryRequests).to.equal(4);
    expect(one?.failures).to.equal(3);
  });
});
