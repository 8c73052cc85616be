import { mock } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import { systemClock } from "../../adapters/clock.ts";

const DAY = 24 * 3_600_000;
const LONGEST = 2 ** 31 - 1;

describe("the computer's clock", () => {
  it("does not take a wait that is longer than a timer's for none at all", async () => {
    const fired: string[] = [];
    const stop = new AbortController();
    const cancel = systemClock.after(LONGEST + 1, () => fired.push("after"));
    const slept = systemClock.sleep(30 * DAY, stop.signal).then(() => fired.push("sleep"));
    await delay(20); // a timer that overflows fires after one millisecond, so before this one
    expect(fired).to.deep.equal([]);
    cancel();
    stop.abort();
    await slept;
  });

  describe("over weeks", () => {
    beforeEach(() => mock.timers.enable({ apis: ["setTimeout"] }));
    afterEach(() => mock.timers.reset());

    it("calls back when all of the time is over, once", () => {
      let calls = 0;
      systemClock.after(60 * DAY, () => {
        calls += 1;
      });
      for (const ms of [LONGEST, LONGEST, 60 * DAY - 2 * LONGEST - 1]) mock.timers.tick(ms);
      expect(calls).to.equal(0);
      mock.timers.tick(1);
      expect(calls).to.equal(1);
      mock.timers.tick(60 * DAY);
      expect(calls).to.equal(1);
    });

    it("does not call back when cancelled in the middle", () => {
      let calls = 0;
      const cancel = systemClock.after(60 * DAY, () => {
        calls += 1;
      });
      mock.timers.tick(40 * DAY);
      cancel();
      mock.timers.tick(40 * DAY);
      expect(calls).to.equal(0);
    });
  });
});
