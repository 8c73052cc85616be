import { expect } from "chai";
import fc from "fast-check";
import { readTar } from "../../core/trust/tar.ts";
import { type TarEntry, tar } from "../support/tuf-repository.ts";

const LIMITS = { files: 10, bytes: 4096 };
const file = (path: string, text = "x", type = "0"): TarEntry => ({ path, content: Buffer.from(text), type });
const LONG = `repository/targets/${"ab".repeat(64)}.trusted_root.json`;

function read(archive: Buffer): Record<string, string> {
  return Object.fromEntries([...readTar(archive, LIMITS)].map(([path, bytes]) => [path, bytes.toString()]));
}

function why(archive: Buffer): string {
  try {
    return `taken: ${JSON.stringify(read(archive))}`;
  } catch (thrown) {
    return (thrown as Error).message;
  }
}

describe("A tar archive", () => {
  it("has files, whose paths lose ./ and leading slashes; folders are passed over", () => {
    const entries = [file("repository/", "", "5"), file("./repository/a", "1"), file("/b/c", ""), file("d", "2", "\0")];
    expect(read(tar(entries))).to.eql({ "repository/a": "1", "b/c": "", d: "2" });
  });

  it("has long names in pax headers, or in GNU's way, or in the prefix of ustar", () => {
    for (const form of ["pax", "gnu"] as const) expect(Object.keys(read(tar([file(LONG)], form)))).to.eql([LONG]);
    const archive = tar([file("name")]);
    archive.write("some/prefix", 345);
    archive.write("        ", 148);
    const sum = archive.subarray(0, 512).reduce((total, byte) => total + byte, 0);
    archive.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
    expect(Object.keys(read(archive))).to.eql(["some/prefix/name"]);
  });

  it("may end without the two empty blocks", () => {
    expect(read(tar([file("a")]).subarray(0, 1024))).to.eql({ a: "x" });
  });

  for (const [path, type] of [
    ["../a", "0"],
    ["a/../../b", "0"],
    ["a\\b", "0"],
    [`${"../".repeat(40)}etc/passwd`, "0"],
  ] as const) {
    it(`is refused with the path ${path.slice(0, 20)}`, () => {
      expect(why(tar([file(path, "x", type)]))).to.contain("content filepath is tainted");
    });
  }

  for (const [type, name] of Object.entries({
    1: "hard link",
    2: "symbolic link",
    3: "device",
    6: "pipe",
    S: "sparse file",
  })) {
    it(`is refused with a ${name}`, () => {
      expect(why(tar([file("a", "", type)]))).to.equal('"a" is neither a file nor a folder');
    });
  }

  it("is refused when it has more than it may", () => {
    const many = Array.from({ length: 11 }, (_, index) => file(`f${index}`));
    expect(why(tar(many.slice(1)))).to.contain("taken");
    expect(why(tar(many))).to.equal("there are more than 10 files");
    expect(why(tar([file("a", "x".repeat(4096))]))).to.contain("taken");
    expect(why(tar([file("a", "x".repeat(4000)), file("b", "x".repeat(97))]))).to.equal(
      "the files have more than 4096 bytes",
    );
    // A name again and again takes no room in the result, but counts.
    expect(why(tar(Array.from({ length: 5 }, () => file("a", "x".repeat(1000)))))).to.equal(
      "the files have more than 4096 bytes",
    );
  });

  it("is refused when it is cut off, or its headers are wrong", () => {
    expect(why(tar([file("a", "x".repeat(600))]).subarray(0, 1024))).to.equal("unexpected EOF");
    const archive = tar([file("a")]);
    archive.write("b", 0);
    expect(why(archive)).to.equal("the checksum of a header is wrong");
    expect(why(Buffer.from("no archive at all".repeat(60)))).to.match(/header/);
  });

  it("is read or refused, whatever the bytes", () => {
    const base = tar([file("a", "1"), file(LONG), file("d/", "", "5")]);
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(base.length - 1), fc.nat(255)), { maxLength: 6 }),
        fc.nat(base.length),
        (changes, end) => {
          const archive = Buffer.from(base);
          for (const [at, byte] of changes) archive[at] = byte;
          for (const path of Object.keys(
            JSON.parse(JSON.stringify(Object.fromEntries(safe(archive.subarray(0, end))))),
          ))
            expect(path).to.not.match(/(^|\/)\.\.(\/|$)|^\//);
        },
      ),
    );
  });
});

/** What was read, or nothing; any error but ours fails the test. */
function safe(archive: Buffer): ReadonlyMap<string, Buffer> {
  try {
    return readTar(archive, LIMITS);
  } catch (thrown) {
    expect(thrown).to.include({ code: "TAR_INVALID" });
    return new Map();
  }
}
