import { expect } from "chai";
import { Shared } from "../../adapters/shared.ts";

interface Value {
  readonly n: number;
}

const patient = (): AbortSignal => new AbortController().signal;

/** Work that ends when the test says so, and counts how often it was begun and aborted. */
function work() {
  const counts = { begun: 0, aborted: 0 };
  let ending = Promise.withResolvers<Value>();
  const start = (signal: AbortSignal): Promise<Value> => {
    counts.begun++;
    ending = Promise.withResolvers<Value>();
    signal.addEventListener("abort", () => counts.aborted++);
    return ending.promise;
  };
  return { counts, start, end: (n: number) => ending.resolve({ n }), fail: () => ending.reject(new Error("no luck")) };
}

async function rejection(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "fulfilled",
    (thrown: unknown) => (thrown as Error).message,
  );
}

describe("shared work", () => {
  it("is done once for all who ask for the same key meanwhile, and for each other key", async () => {
    const shared = new Shared<Value>({ max: 10, keepMs: () => 0 });
    const { counts, start, end } = work();
    const waiting = [shared.get("a", patient(), start), shared.get("a", patient(), start)];
    end(1);
    expect(await Promise.all(waiting)).to.deep.equal([1, 1].map((n) => ({ value: { n }, remembered: false })));
    expect(counts.begun).to.equal(1);
    const other = shared.get("b", patient(), start);
    end(2);
    expect((await other).value.n).to.equal(2);
    const again = shared.get("a", patient(), start);
    end(3);
    expect((await again).value.n).to.equal(3);
  });

  it("is remembered for as long as its value says, until it is forgotten", async () => {
    const shared = new Shared<Value>({ max: 10, keepMs: ({ n }) => (n === 1 ? 60_000 : 0) });
    const { counts, start, end } = work();
    const first = shared.get("a", patient(), start);
    end(1);
    await first;
    expect(await shared.get("a", patient(), start)).to.deep.equal({ value: { n: 1 }, remembered: true });
    shared.forget("a");
    const second = shared.get("a", patient(), start);
    end(2);
    expect(await second).to.deep.equal({ value: { n: 2 }, remembered: false });
    expect(counts.begun).to.equal(2);
  });

  it("that failed is not remembered", async () => {
    const shared = new Shared<Value>({ max: 10, keepMs: () => 60_000 });
    const { counts, start, end, fail } = work();
    const failing = [shared.get("a", patient(), start), shared.get("a", patient(), start)].map(rejection);
    fail();
    expect(await Promise.all(failing)).to.deep.equal(["no luck", "no luck"]);
    const again = shared.get("a", patient(), start);
    end(1);
    expect((await again).value.n).to.equal(1);
    expect(counts.begun).to.equal(2);
  });

  it("goes on while anybody waits, and is aborted when nobody does", async () => {
    const shared = new Shared<Value>({ max: 10, keepMs: () => 0 });
    const { counts, start, end } = work();
    const [one, two] = [new AbortController(), new AbortController()];
    const first = rejection(shared.get("a", one.signal, start));
    const second = rejection(shared.get("a", two.signal, start));
    one.abort(new Error("out of time"));
    expect(await first).to.equal("out of time");
    expect(counts.aborted).to.equal(0);
    two.abort(new Error("out of time"));
    expect(await second).to.equal("out of time");
    expect(counts.aborted).to.equal(1);
    const third = shared.get("a", patient(), start);
    end(3);
    expect((await third).value.n).to.equal(3);
    expect(counts.begun).to.equal(2);
  });

  it("is not begun for who has given up already", async () => {
    const { counts, start } = work();
    const shared = new Shared<Value>({ max: 10, keepMs: () => 0 });
    expect(await rejection(shared.get("a", AbortSignal.abort(new Error("too late")), start))).to.equal("too late");
    expect(counts.begun).to.equal(0);
  });
});
