import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { writeHostsFiles } from "../../cli/render-files.ts";

describe("hosts.toml files on disk", () => {
  it("never stand outside their folder, and if one would, none is written", async () => {
    const dir = mkdtempSync(join(tmpdir(), "entrepot-files-"));
    try {
      for (const directory of ["..", ".", "../x", "a/b", "/etc"]) {
        const files = ["docker.io", directory].map((name) => ({ host: name, directory: name, content: "x" }));
        const said = await writeHostsFiles(join(dir, "certs.d"), { files, notExpressed: [] }).catch(
          (error: Error) => error.message,
        );
        expect(said, directory).to.include("is no name of a folder in");
      }
      expect(existsSync(join(dir, "certs.d"))).to.equal(false);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });
});
