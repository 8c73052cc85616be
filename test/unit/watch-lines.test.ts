import { expect } from "chai";
import fc from "fast-check";
import { KubeError } from "../../adapters/kube/errors.ts";
import { lines } from "../../adapters/kube/watch.ts";

async function* chunksOf(bytes: Buffer, cuts: readonly number[]): AsyncGenerator<Buffer> {
  let start = 0;
  for (const cut of [...cuts].sort((a, b) => a - b)) {
    const end = Math.min(cut, bytes.length);
    yield bytes.subarray(start, end);
    start = end;
  }
  yield bytes.subarray(start);
}

async function read(chunks: AsyncIterable<Buffer>, maxBytes = 1000): Promise<string[]> {
  const result: string[] = [];
  for await (const line of lines(chunks, maxBytes, "watch")) result.push(line.toString("utf8"));
  return result;
}

describe("The lines of a watch", () => {
  const text = fc.string({ unit: "grapheme" }).map((line) => line.replaceAll("\n", ""));

  it("are the same however the network cuts the stream, in the middle of characters too", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(text), fc.array(fc.nat(400)), async (all, cuts) => {
        const bytes = Buffer.from(all.map((line) => `${line}\n`).join(""));
        expect(await read(chunksOf(bytes, cuts))).to.eql(all.filter((line) => line !== ""));
      }),
      { numRuns: 100 },
    );
  });

  it("end with the last whole one when the connection is cut", async () => {
    expect(await read(chunksOf(Buffer.from("one\ntwo\nthr"), [5]))).to.eql(["one", "two"]);
  });

  it("may be as long as the limit and not longer, wherever they are cut", async () => {
    const line = "x".repeat(10);
    expect(await read(chunksOf(Buffer.from(`${line}\n`), [3, 6]), 10)).to.eql([line]);
    for (const cuts of [[], [3], [5, 10], [11]]) {
      const error = await read(chunksOf(Buffer.from(`a\n${line}y\n`), cuts), 10).catch((thrown: unknown) => thrown);
      expect(error).to.be.instanceOf(KubeError).with.property("code", "TOO_LARGE");
    }
  });
});
