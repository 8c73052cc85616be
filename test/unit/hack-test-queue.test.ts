import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { FileQueue } from "../../hack/testing/queue.ts";
import { readTimes, rememberTimes } from "../../hack/testing/times.ts";

const WANTS_CONTROLLER = `import { x } from "../support/policy-controller.ts";`;

describe("the queue of test files", () => {
  const texts: Readonly<Record<string, string>> = {
    "t/a.test.ts": "",
    "t/bench.test.ts": "",
    "t/differential.test.ts": `import { x } from "../support/differential/x.ts";`,
    "t/page.test.ts": WANTS_CONTROLLER,
  };
  const queueOf = (...files: readonly string[]) => new FileQueue(files, {}, (file) => texts[file] ?? "");
  const isSettled = (promise: Promise<unknown>) => Promise.race([promise.then(() => true), Promise.resolve(false)]);

  it("gives each file once: one of those with fixed ports, then long ones, then the others in order", async () => {
    const queue = queueOf("t/a.test.ts", "t/b.test.ts", "t/bench.test.ts", "t/page.test.ts");
    const taken = [await queue.take(), await queue.take(), await queue.take(), await queue.take(), await queue.take()];
    expect(taken).to.deep.equal(["t/page.test.ts", "t/bench.test.ts", "t/a.test.ts", "t/b.test.ts", undefined]);
  });

  it("gives the longest first, once it is known what they took; a long one by its name may be the longest", async () => {
    const files = ["t/a.test.ts", "t/b.test.ts", "t/bench.test.ts", "t/c.test.ts", "t/page.test.ts", "t/storm.test.ts"];
    const times = { "t/b.test.ts": 2, "t/bench.test.ts": 1, "t/c.test.ts": 3 };
    const queue = new FileQueue(files, times, (file) => texts[file] ?? "");
    const taken: (string | undefined)[] = [];
    for (const _ of files) taken.push(await queue.take());
    expect(taken.map((file) => file?.split(/[/.]/)[1])).to.deep.equal(["page", "storm", "c", "b", "bench", "a"]);
  });

  it("never has two of those with fixed ports out at once: whoever would get the second waits", async () => {
    const queue = queueOf("t/differential.test.ts", "t/page.test.ts", "t/a.test.ts");
    expect(await queue.take()).to.equal("t/differential.test.ts");
    expect(await queue.take()).to.equal("t/a.test.ts");
    const waiting = queue.take();
    queue.end("t/a.test.ts");
    expect(await isSettled(waiting)).to.equal(false);
    queue.end("t/differential.test.ts");
    expect(await waiting).to.equal("t/page.test.ts");
    expect(await queue.take()).to.equal(undefined);
  });

  it("lets several wait: one gets the file, the others learn that none is left", async () => {
    const queue = queueOf("t/differential.test.ts", "t/page.test.ts");
    const [first, ...waiting] = [queue.take(), queue.take(), queue.take()];
    queue.end((await first) ?? "");
    expect(await Promise.all(waiting)).to.have.members(["t/page.test.ts", undefined]);
  });
});

describe("the times of test files", () => {
  const dir = mkdtempSync(join(tmpdir(), "entrepot-times-"));
  const path = join(dir, "times.json");
  after(() => rmSync(dir, { recursive: true }));

  it("are remembered until others come; without any, or with something else there, there are none", () => {
    expect(readTimes(path)).to.deep.equal({});
    rememberTimes(path, { a: 1, b: 2 });
    rememberTimes(path, { b: 3 });
    expect(readTimes(path)).to.deep.equal({ a: 1, b: 3 });
    for (const text of ["", "null", "[", '"text"', '{"a":"long"}']) {
      writeFileSync(path, text);
      expect(readTimes(path), text).to.deep.equal({});
    }
  });
});
