import { execFileSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { expect } from "chai";
import { BlobStore, digestOf } from "../../hack/oci/store.ts";
import { tar } from "../../hack/oci/tar.ts";
import { folder, text, tree } from "../../hack/oci/tree.ts";

describe("images without a daemon", () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "oci-test-"));
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  const extract = (archive: Buffer): string => {
    const to = join(dir, "out");
    mkdirSync(to);
    execFileSync("tar", ["-x", "-f", "-", "-C", to], { input: archive });
    return to;
  };

  describe("tar", () => {
    const deep = `${"a-long-folder-name/".repeat(8)}${"x".repeat(120)}`; // beyond the ustar header, so in a pax record
    const entries = [
      text("b/file", "hello\n"),
      text("empty", ""),
      text(deep, "deep"),
      folder("tmp", 0o1777),
      { path: "link", mode: 0o777, link: "b/file" },
      { path: "long-link", mode: 0o777, link: deep },
      { path: "bin/run", mode: 0o755, data: Buffer.alloc(1000, 7) },
    ];

    it("is read by the system's tar: content, modes, links, long names", () => {
      const out = extract(tar(entries));
      expect(readFileSync(join(out, "b/file"), "utf8")).to.equal("hello\n");
      expect(readFileSync(join(out, "link"), "utf8")).to.equal("hello\n");
      expect(readFileSync(join(out, deep), "utf8")).to.equal("deep");
      expect(readFileSync(join(out, "long-link"), "utf8")).to.equal("deep");
      expect(readFileSync(join(out, "bin/run"))).to.deep.equal(Buffer.alloc(1000, 7));
      expect(readdirSync(out).sort()).to.deep.equal([
        "a-long-folder-name",
        "b",
        "bin",
        "empty",
        "link",
        "long-link",
        "tmp",
      ]);
      const listed = execFileSync("tar", ["-t", "-v", "-f", "-"], { input: tar(entries), encoding: "utf8" });
      expect(listed)
        .to.match(/^drwxrwxrwt 0\/0 .* tmp\/$/m)
        .and.match(/^-rwxr-xr-x 0\/0 .* bin\/run$/m);
    });

    it("gives the same bytes whatever the order of its entries", () => {
      expect(digestOf(tar([...entries].reverse()))).to.equal(digestOf(tar(entries)));
    });

    it("gives other bytes for another mode, another content, another date", () => {
      const base = [text("f", "x")];
      const others = [tar([text("f", "y")]), tar([text("f", "x", 0o600)]), tar(base, 1)].map(digestOf);
      expect(new Set([digestOf(tar(base)), ...others]).size).to.equal(4);
    });

    it("makes the length of a pax record count itself, at every length of a name", () => {
      for (let length = 101; length < 255; length += 1) {
        const block = tar([text(`${"n".repeat(60)}/${"m".repeat(length - 61)}`, "")]).toString("latin1");
        const record = /(\d+) path=([nm/]+)\n/.exec(block);
        if (record === null) continue;
        expect(record[0].length, `a name of ${length} bytes`).to.equal(Number(record[1]));
      }
    });
  });

  describe("tree", () => {
    it("does not depend on the umask of whoever wrote the files, and leaves out what is not wanted", () => {
      const from = join(dir, "from");
      mkdirSync(join(from, "docs"), { recursive: true });
      writeFileSync(join(from, "a.ts"), "a");
      writeFileSync(join(from, "docs/b.md"), "b");
      writeFileSync(join(from, "run"), "r");
      symlinkSync("a.ts", join(from, "l"));
      const read = () => digestOf(tar(tree(from, "app", (path) => !path.endsWith("/docs"))));
      chmodSync(join(from, "a.ts"), 0o600);
      const strict = read();
      chmodSync(join(from, "a.ts"), 0o666);
      expect(read()).to.equal(strict);
      chmodSync(join(from, "run"), 0o700);
      expect(read(), "an executable is another thing").not.to.equal(strict);
      expect(tree(from, "app", (path) => !path.endsWith("/docs")).map((entry) => entry.path)).not.to.include(
        "app/docs/b.md",
      );
    });
  });

  describe("store", () => {
    it("gives the same image from a fresh folder, and another one for another file", () => {
      const build = (name: string, content: string) => {
        const store = new BlobStore(join(dir, name));
        return store.image([store.layer("app", [text("app/main.ts", content)])], { User: "65532:65532" }).digest;
      };
      expect(build("one", "x")).to.equal(build("two", "x"));
      expect(build("one", "y")).not.to.equal(build("two", "x"));
    });

    it("lists each layer by the digest of its compressed and of its plain bytes", () => {
      const store = new BlobStore(join(dir, "store"));
      const layer = store.layer("app", [text("f", "content")]);
      const packed = store.get(layer.digest);
      expect(digestOf(packed)).to.equal(layer.digest);
      expect(packed.length).to.equal(layer.size);
      expect(digestOf(gunzipSync(packed))).to.equal(layer.diffId);
    });

    it("packs a file anew when it changed on disk, and not otherwise", () => {
      const path = join(dir, "file");
      const store = new BlobStore(join(dir, "store"));
      const layer = () => store.layer("app", [{ path: "f", mode: 0o644, file: path }]).digest;
      writeFileSync(path, "one");
      const first = layer();
      expect(layer()).to.equal(first);
      writeFileSync(path, "two");
      expect(layer()).not.to.equal(first);
    });

    it("exports a layout whose every descriptor names a blob that is there", () => {
      const store = new BlobStore(join(dir, "store"));
      const image = store.image([store.layer("a", [text("a", "1")]), store.layer("b", [text("b", "2")])], {});
      store.put(Buffer.from("of another image"));
      const out = join(dir, "layout");
      store.export(image, "dev", out);
      const blob = (digest: string) => readFileSync(join(out, "blobs", digest.replace(":", "/")));
      const { config, layers } = store.manifest(image.digest);
      for (const { digest, size } of [image, config, ...layers]) {
        expect(digestOf(blob(digest))).to.equal(digest);
        expect(blob(digest).length).to.equal(size);
      }
      expect(readdirSync(join(out, "blobs/sha256")), "nothing else").to.have.length(4);
      expect(readFileSync(join(out, "oci-layout"), "utf8")).to.equal('{"imageLayoutVersion":"1.0.0"}');
    });
  });
});
