import { expect } from "chai";
import { ProductError } from "../../adapters/products/errors.ts";
import { CallGate } from "../../adapters/products/gate.ts";
import { Sessions } from "../../operator/providers/sessions.ts";
import { FakeClock, settle } from "../support/fake-clock.ts";

const NEVER = new AbortController().signal;

async function failure(promise: Promise<unknown>): Promise<ProductError> {
  const thrown: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(thrown instanceof ProductError)) throw new Error(`no ProductError: ${String(thrown)}`);
  return thrown;
}

describe("calls of a registry's management API", () => {
  it("go out at once up to the burst, then evenly, and catch up on idle time no further than that", async () => {
    const clock = new FakeClock();
    const gate = new CallGate({ clock, burst: 3, perSecond: 2 });
    let made = 0;
    const all = (count: number) =>
      Promise.all(
        Array.from({ length: count }, () =>
          gate.run(async () => {
            made += 1;
          }, NEVER),
        ),
      );
    const first = all(6);
    await settle();
    expect(made).to.equal(3);
    await clock.advance(499);
    expect(made).to.equal(3);
    await clock.advance(1);
    expect(made).to.equal(4);
    await clock.advance(1_000);
    await first;
    expect(made).to.equal(6);
    await clock.advance(3_600_000);
    const second = all(5);
    await settle();
    expect(made).to.equal(9);
    await clock.advance(1_000);
    await second;
    expect(made).to.equal(11);
  });

  it("stop for everybody when there were too many, for as long as Retry-After says and no longer", async () => {
    const clock = new FakeClock();
    const gate = new CallGate({ clock });
    let made = 0;
    const call = async () => {
      made += 1;
      if (made === 1) throw new ProductError("PRODUCT_THROTTLED", "slow down", { retryAfterMs: 30_000 });
    };
    expect((await failure(gate.run(call, NEVER))).retryAfterMs).to.equal(30_000);
    await clock.advance(10_000);
    expect(await failure(gate.run(call, NEVER))).to.include({ code: "PRODUCT_THROTTLED", retryAfterMs: 20_000 });
    expect(made).to.equal(1);
    await clock.advance(20_000);
    await gate.run(call, NEVER);
    expect(made).to.equal(2);
  });

  it("let no Retry-After close the gate for a day, or for no time", async () => {
    for (const [said, held] of [
      [86_400_000, 900_000],
      [0, 1_000],
      [undefined, 10_000],
    ] as const) {
      const clock = new FakeClock();
      const gate = new CallGate({ clock });
      const options = said === undefined ? {} : { retryAfterMs: said };
      await failure(gate.run(() => Promise.reject(new ProductError("PRODUCT_THROTTLED", "", options)), NEVER));
      await clock.advance(held - 1);
      await failure(gate.run(async () => undefined, NEVER));
      await clock.advance(1);
      await gate.run(async () => undefined, NEVER);
    }
  });

  it("waiting their turn find the gate closed that closed meanwhile", async () => {
    const clock = new FakeClock();
    const gate = new CallGate({ clock, burst: 1, perSecond: 1 });
    let made = 0;
    const throttled = async () => {
      made += 1;
      throw new ProductError("PRODUCT_THROTTLED", "", { retryAfterMs: 60_000 });
    };
    const results = Promise.all([failure(gate.run(throttled, NEVER)), failure(gate.run(throttled, NEVER))]);
    await clock.advance(5_000);
    await results;
    expect(made).to.equal(1);
  });

  it("end at their deadline, and with their caller", async () => {
    const clock = new FakeClock();
    const hang = (signal: AbortSignal) =>
      new Promise<void>((_resolve, reject) => signal.addEventListener("abort", () => reject(new Error("aborted"))));
    expect((await failure(new CallGate({ clock, deadlineMs: 20 }).run(hang, NEVER))).code).to.equal("PRODUCT_TIMEOUT");
    const caller = new AbortController();
    const running = new CallGate({ clock }).run(hang, caller.signal);
    const why = new Error("the process ends");
    caller.abort(why);
    expect(await running.catch((thrown: unknown) => thrown)).to.equal(why);
  });
});

describe("sessions with registry products", () => {
  it("are kept while nothing changed, opened anew when something did, and tried again after a failure", async () => {
    const sessions = new Sessions<number>();
    let opened = 0;
    const open = async () => {
      opened += 1;
      if (opened === 3) throw new Error("no network");
      return opened;
    };
    expect(await sessions.of("main", { secret: "a" }, open)).to.equal(1);
    expect(await sessions.of("main", { secret: "a" }, open)).to.equal(1);
    expect(await sessions.of("main", { secret: "b" }, open)).to.equal(2);
    expect(await sessions.of("other", { secret: "b" }, open).catch(() => "failed")).to.equal("failed");
    expect(await sessions.of("other", { secret: "b" }, open)).to.equal(4);
    expect(await sessions.of("main", { secret: "b" }, open)).to.equal(2);
  });
});
