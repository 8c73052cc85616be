import { expect } from "chai";
import fc from "fast-check";
import { backoffMs, RECONCILE, RECONNECT } from "../../core/backoff.ts";

describe("backoffMs", () => {
  const plain = { baseMs: 100, factor: 2, capMs: 1000, jitter: 0 };

  it("doubles from the base up to the cap", () => {
    expect([1, 2, 3, 4, 5, 6].map((failures) => backoffMs(plain, failures, 0.5))).to.eql([
      100, 200, 400, 800, 1000, 1000,
    ]);
  });

  it("only ever shortens by the jitter's share, and never exceeds the cap, however many the failures", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(plain, RECONCILE, RECONNECT),
        fc.integer({ min: 1, max: 100_000 }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (policy, failures, random) => {
          const full = Math.min(policy.capMs, policy.baseMs * policy.factor ** (failures - 1));
          const delay = backoffMs(policy, failures, random);
          return delay <= full && delay >= full * (1 - policy.jitter) && Number.isFinite(delay);
        },
      ),
    );
  });

  it("spreads those who failed together", () => {
    expect(backoffMs(RECONNECT, 4, 0.1)).not.to.equal(backoffMs(RECONNECT, 4, 0.9));
  });
});
