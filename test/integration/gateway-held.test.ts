import { Readable } from "node:stream";
import { expect } from "chai";
import { Slots } from "../../core/slots.ts";
import { readWhole } from "../../gateway/body.ts";

describe("Slots", () => {
  /** Work that has begun, by name, and how each ends. */
  function worker(slots: Slots) {
    const begun: string[] = [];
    const ends = new Map<string, () => void>();
    const start = (name: string, size: number, signal?: AbortSignal): Promise<void> =>
      slots.run(
        async () => {
          begun.push(name);
          await new Promise<void>((resolve) => ends.set(name, resolve));
        },
        signal,
        size,
      );
    const end = (name: string): void => ends.get(name)?.();
    return { begun, start, end };
  }
  const turn = async (): Promise<void> => await new Promise((resolve) => setImmediate(resolve));

  it("let work in by its size and in its order, and work that wants more than there is alone", async () => {
    const { begun, start, end } = worker(new Slots(10, 10));
    const all = [start("a", 6), start("b", 5), start("c", 1), start("d", 99)];
    await turn();
    expect(begun, "c would fit, and waits behind b").to.deep.equal(["a"]);
    for (const [name, then] of [
      ["a", ["a", "b", "c"]],
      ["b", ["a", "b", "c"]],
      ["c", ["a", "b", "c", "d"]],
    ] as const) {
      end(name);
      await turn();
      expect(begun, `after ${name}`).to.deep.equal(then);
    }
    end("d");
    await Promise.all(all);
  });

  it("let in who waited behind somebody who gave up", async () => {
    const { begun, start, end } = worker(new Slots(10, 10));
    const giveUp = new AbortController();
    const first = start("a", 6);
    const second = start("b", 5, giveUp.signal).catch((thrown: unknown) => thrown);
    const third = start("c", 4);
    await turn();
    expect(begun).to.deep.equal(["a"]);
    giveUp.abort("gone");
    expect(await second).to.equal("gone");
    await turn();
    expect(begun).to.deep.equal(["a", "c"]);
    for (const name of begun) end(name);
    await Promise.all([first, third]);
  });

  it("send away with BUSY who finds the queue full", async () => {
    const { start, end } = worker(new Slots(1, 1));
    const [first, second] = [start("a", 1), start("b", 1)];
    const third = await start("c", 1).catch((thrown: unknown) => thrown);
    expect(third).to.include({ code: "BUSY" });
    end("a");
    await first;
    await turn();
    end("b");
    await second;
  });
});

describe("A body that is read whole", () => {
  const content = Buffer.from("0123456789".repeat(2_000));
  const body = (): Readable =>
    Readable.from(Array.from({ length: 2_000 }, (_, index) => content.subarray(10 * index, 10 * index + 10)));

  for (const expected of [undefined, 0, 1, content.length, content.length * 2])
    it(`is what came, in small pieces, when ${expected ?? "nothing"} was announced`, async () => {
      const whole = await readWhole(body(), 50_000, expected);
      expect(whole.equals(content)).to.equal(true);
      expect(whole.buffer.byteLength, "the memory that it takes").to.be.at.most(2 * content.length);
    });

  it("may have as many bytes as the limit, and not one more", async () => {
    expect((await readWhole(body(), content.length)).length).to.equal(content.length);
    const end = await readWhole(body(), content.length - 1).catch((thrown: unknown) => thrown);
    expect(end).to.include({ code: "BACKEND_MALFORMED" });
  });
});
