import { expect } from "chai";
import fc from "fast-check";
import { type Log, silentLog } from "../../adapters/telemetry/log.ts";
import { DomainError } from "../../core/errors.ts";
import { runController } from "../../operator/runtime/controller.ts";
import { WorkQueue } from "../../operator/runtime/workqueue.ts";
import { FakeClock, settle } from "../support/fake-clock.ts";

const backoff = { baseMs: 100, factor: 2, capMs: 1000, jitter: 0 };

function fixture() {
  const clock = new FakeClock();
  return { clock, queue: new WorkQueue({ name: "test", clock, backoff }) };
}

describe("WorkQueue", () => {
  it("hands out keys in the order of their arrival, each once however often it was added", async () => {
    const { queue } = fixture();
    for (const key of ["a", "b", "a", "c", "a"]) queue.add(key);
    expect([await queue.take(), await queue.take(), await queue.take()]).to.eql(["a", "b", "c"]);
    expect(queue.depth).to.equal(0);
  });

  it("gives a key that was added while in hand again, but only after done", async () => {
    const { queue } = fixture();
    queue.add("a");
    await queue.take();
    queue.add("a");
    queue.add("a");
    expect(queue.depth).to.equal(0);
    queue.done("a");
    expect(queue.depth).to.equal(1);
    expect(await queue.take()).to.equal("a");
    queue.done("a");
    expect(queue.depth).to.equal(0);
  });

  it("wakes a waiting taker", async () => {
    const { queue } = fixture();
    const taken = queue.take();
    queue.add("a");
    expect(await taken).to.equal("a");
  });

  it("delays by back-off, longer with each failure, and starts over after forget", async () => {
    const { queue } = fixture();
    expect([queue.retry("a"), queue.retry("a"), queue.retry("a"), queue.retry("b")]).to.eql([100, 200, 400, 100]);
    queue.forget("a");
    expect(queue.retry("a")).to.equal(100);
  });

  it("makes a delayed key due in time, the sooner of two delays, and at once when it is added meanwhile", async () => {
    const { queue, clock } = fixture();
    queue.addAfter("a", 500);
    queue.addAfter("a", 200);
    queue.addAfter("a", 900);
    await clock.advance(199);
    expect(queue.depth).to.equal(0);
    await clock.advance(1);
    expect(queue.depth).to.equal(1);
    queue.addAfter("b", 500);
    queue.add("b");
    expect(queue.depth).to.equal(2);
    expect(clock.pending).to.equal(0);
  });

  it("ends its takers on shutdown and takes nothing more", async () => {
    const { queue, clock } = fixture();
    const taken = queue.take();
    queue.addAfter("a", 10);
    queue.shutDown();
    queue.add("b");
    await clock.advance(20);
    expect(await taken).to.equal(undefined);
    expect(await queue.take()).to.equal(undefined);
    expect(queue.depth).to.equal(0);
  });
});

describe("runController", () => {
  async function running(
    reconcile: (key: string, signal: AbortSignal) => Promise<{ requeueAfterMs?: number }>,
    workers = 2,
    log = silentLog,
  ) {
    const { queue, clock } = fixture();
    const stop = new AbortController();
    const ended = runController({ queue, reconcile, log, workers, clock, deadlineMs: 60_000 }, stop.signal);
    return { queue, clock, stop, ended };
  }

  it("tries a failure again after its back-off, and not before", async () => {
    let calls = 0;
    const { queue, clock, stop, ended } = await running(async () => {
      calls += 1;
      if (calls < 3) throw new Error("not yet");
      return {};
    });
    queue.add("a");
    await clock.advance(99);
    expect(calls).to.equal(1);
    await clock.advance(1);
    expect(calls).to.equal(2);
    await clock.advance(200);
    expect(calls).to.equal(3);
    await clock.advance(100_000);
    expect(calls).to.equal(3);
    expect(queue.failures("a")).to.equal(0);
    stop.abort();
    await ended;
  });

  it("calls it no error that somebody else wrote first, unless it goes on", async () => {
    const levels: string[] = [];
    const note = (level: string) => () => void levels.push(level);
    const log: Log = {
      debug: note("debug"),
      info: note("info"),
      warn: note("warn"),
      error: note("error"),
      child: () => log,
    };
    let code = "CONFLICT";
    const fail = async () => Promise.reject(new DomainError(code, "the object has been modified"));
    const { queue, clock, stop, ended } = await running(fail, 1, log);
    queue.add("a");
    await clock.advance(700); // 0, 100, 300, 700
    expect(levels).to.deep.equal(["info", "info", "error", "error"]);
    code = "FORBIDDEN";
    queue.add("b");
    await clock.advance(1);
    expect(levels.at(-1), "control").to.equal("error");
    stop.abort();
    await ended;
  });

  it("does not repeat a terminal failure until the key is added again", async () => {
    let calls = 0;
    const { queue, clock, stop, ended } = await running(async () => {
      calls += 1;
      throw new DomainError("BAD", "never", { terminal: true });
    });
    queue.add("a");
    await clock.advance(1_000_000);
    expect(calls).to.equal(1);
    queue.add("a");
    await clock.advance(1);
    expect(calls).to.equal(2);
    stop.abort();
    await ended;
  });

  it("looks again after requeueAfterMs", async () => {
    let calls = 0;
    const { queue, clock, stop, ended } = await running(async () => {
      calls += 1;
      return { requeueAfterMs: 5000 };
    });
    queue.add("a");
    await clock.advance(4999);
    expect(calls).to.equal(1);
    await clock.advance(1);
    expect(calls).to.equal(2);
    stop.abort();
    await ended;
  });

  it("waits on shutdown for what is in hand, with its signal aborted, and leaves no timer", async () => {
    const { queue, clock, stop, ended } = await running(async (_key, signal) => {
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      throw new Error("interrupted");
    });
    queue.add("a");
    await settle();
    let done = false;
    void ended.then(() => {
      done = true;
    });
    await settle();
    expect(done).to.equal(false);
    stop.abort();
    await ended;
    expect(clock.pending).to.equal(0);
  });

  // Every add must be followed by a reconcile that begins after it; never two at once for one key; failures must not lose keys.
  it("loses no key and never has one in two hands, whatever is added and fails when", async () => {
    const step = fc.record({
      key: fc.constantFrom("a", "b", "c"),
      how: fc.constantFrom("add", "after", "burst"),
      gapMs: fc.nat(150),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 1, maxLength: 25 }),
        fc.infiniteStream(fc.record({ fails: fc.boolean(), takesMs: fc.nat(120) })),
        fc.integer({ min: 1, max: 3 }),
        async (steps, fates, workers) => {
          const { queue, clock } = fixture();
          const stop = new AbortController();
          const inHand = new Set<string>();
          const wanted = new Map<string, number>(); // adds so far
          const served = new Map<string, number>(); // adds that a successful reconcile began after
          const ended = runController(
            {
              queue,
              clock,
              workers,
              log: silentLog,
              reconcile: async (key) => {
                if (inHand.has(key)) throw new DomainError("TWICE", "two at once", { terminal: true });
                inHand.add(key);
                const seen = wanted.get(key) ?? 0;
                const fate = fates.next().value;
                await clock.sleep(fate?.takesMs ?? 0);
                inHand.delete(key);
                if (fate?.fails === true) throw new Error("fails");
                served.set(key, seen);
                return {};
              },
            },
            stop.signal,
          );
          for (const { key, how, gapMs } of steps) {
            wanted.set(key, (wanted.get(key) ?? 0) + 1);
            if (how === "after") queue.addAfter(key, gapMs);
            else for (let count = how === "burst" ? 3 : 1; count > 0; count -= 1) queue.add(key);
            await clock.advance(gapMs);
          }
          for (
            let rounds = 0;
            rounds < 200 && [...wanted].some(([key, count]) => served.get(key) !== count);
            rounds += 1
          ) {
            await clock.advance(1000);
          }
          stop.abort();
          await clock.advance(1000);
          await ended;
          expect(Object.fromEntries(served)).to.eql(Object.fromEntries(wanted));
        },
      ),
      { numRuns: 60 },
    );
  });
});
