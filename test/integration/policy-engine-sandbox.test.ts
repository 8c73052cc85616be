import { readFile } from "node:fs/promises";
import { expect } from "chai";
import { limitMemory, PAGE_BYTES } from "../../adapters/policy/memory.ts";
import { createSystem, ProgramExit } from "../../adapters/policy/wasi.ts";
import { enginePath } from "../support/policy-engine.ts";

const NOT_SUPPORTED = 52;
const BAD_DESCRIPTOR = 8;
const PREAMBLE = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];
/** One page of memory without an upper bound, exported as `m`. */
const MEMORY = [5, 3, 1, 0, 1];
const EXPORT_MEMORY = [7, 5, 1, 1, 0x6d, 2, 0];

/** The same as WebAssembly.Memory, which the project's types do not have. */
interface GrowingMemory {
  readonly buffer: ArrayBuffer;
  grow(pages: number): number;
}

async function memoryOf(bytes: Uint8Array): Promise<GrowingMemory> {
  const module = await WebAssembly.compile(bytes);
  return new WebAssembly.Instance(module, {}).exports["m"] as GrowingMemory;
}

describe("policy engine: sandbox", function () {
  this.timeout(120_000);

  describe("system", () => {
    let calls: Readonly<Record<string, (...args: unknown[]) => number>>;
    const memory = { buffer: new ArrayBuffer(PAGE_BYTES) };
    const view = new DataView(memory.buffer);
    let said: () => string;

    before(async function () {
      this.timeout(0);
      const module = await WebAssembly.compile(await readFile(await enginePath()));
      const system = createSystem(module, () => memory);
      calls = system.imports["wasi_snapshot_preview1"] as typeof calls;
      said = system.said;
    });

    it("has no files, no directories, no sockets", () => {
      const outside = Object.keys(calls).filter((name) => /^(?:path|sock|fd)_/.test(name) && name !== "fd_write");
      expect(outside).to.include.members(["path_open", "path_unlink_file", "fd_read", "sock_accept"]);
      for (const name of outside)
        expect(calls[name]?.(3, 0, 0, 0, 0, 0n, 0n, 0, 0), name).to.be.oneOf([NOT_SUPPORTED, BAD_DESCRIPTOR]);
      expect(calls["fd_write"]?.(3, 0, 0, 0), "a file").to.equal(BAD_DESCRIPTOR);
    });

    it("has no environment, and a name as its only argument", () => {
      expect(calls["environ_sizes_get"]?.(0, 4)).to.equal(0);
      expect([view.getUint32(0, true), view.getUint32(4, true)]).to.deep.equal([0, 0]);
      expect(calls["args_sizes_get"]?.(0, 4)).to.equal(0);
      expect(view.getUint32(0, true)).to.equal(1);
    });

    it("has clocks, random numbers, and a mouth that is heard", () => {
      expect(calls["clock_time_get"]?.(0, 0n, 8)).to.equal(0);
      expect(Math.abs(Number(view.getBigUint64(8, true) / 1_000_000n) - Date.now())).to.be.below(5_000);
      expect(calls["random_get"]?.(16, 32)).to.equal(0);
      expect(new Uint8Array(memory.buffer, 16, 32).some((byte) => byte !== 0)).to.equal(true);
      new Uint8Array(memory.buffer).set(Buffer.from("fatal error"), 100);
      view.setUint32(200, 100, true);
      view.setUint32(204, 11, true);
      expect(calls["fd_write"]?.(2, 200, 1, 300)).to.equal(0);
      expect([view.getUint32(300, true), said()]).to.deep.equal([11, "fatal error"]);
    });

    it("ends the program by an error, not the process", () => {
      expect(() => calls["proc_exit"]?.(2)).to.throw(ProgramExit, "ended with code 2");
    });

    it("gives nothing to a program that wants more than WASI", async () => {
      const type = [1, 4, 1, 0x60, 0, 0];
      const importing = [2, 7, 1, 1, 0x65, 1, 0x66, 0, 0]; // function e.f
      const module = await WebAssembly.compile(Uint8Array.from([...PREAMBLE, ...type, ...importing]));
      expect(() => createSystem(module, () => memory)).to.throw("wants function e.f, which it is not given");
    });
  });

  describe("memory", () => {
    it("grows to its bound and not beyond", async () => {
      const module = Uint8Array.from([...PREAMBLE, ...MEMORY, ...EXPORT_MEMORY]);
      const bounded = await memoryOf(limitMemory(module, 300 * PAGE_BYTES));
      expect(bounded.grow(299)).to.equal(1);
      expect(() => bounded.grow(1)).to.throw(RangeError);
      const unbounded = await memoryOf(module);
      expect(unbounded.grow(300), "the module as it was").to.equal(1);
    });

    for (const [name, module, says] of [
      ["a bound already", [...PREAMBLE, 5, 4, 1, 1, 1, 2], "without an upper bound"],
      ["no memory", PREAMBLE, "declares no memory"],
      ["a size that does not end", [...PREAMBLE, 5, 0xff, 0xff, 0xff, 0xff, 0xff], "no WebAssembly module"],
      ["a longer section than it says", [...PREAMBLE, 5, 9, 1, 0, 1], "malformed"],
    ] as const)
      it(`refuses a module with ${name}`, () => {
        expect(() => limitMemory(Uint8Array.from(module), 1 << 24)).to.throw(says);
      });

    it("refuses a bound under what the module starts with", () => {
      const module = Uint8Array.from([...PREAMBLE, 5, 3, 1, 0, 10]);
      expect(() => limitMemory(module, 9 * PAGE_BYTES)).to.throw("needs 655360 bytes to start, and may have 589824");
    });
  });
});
