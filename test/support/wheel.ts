import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { inflateRawSync } from "node:zlib";
import { withLock } from "../../hack/testcluster/lock.ts";
import { settingsFrom } from "../../hack/testcluster/settings.ts";

const run = promisify(execFile);

/** SHA-256 of the wheels that tests read a vendor's contract from, by `package-version`. */
const PINNED: Readonly<Record<string, string>> = {
  "botocore-1.44.5": "8f16a56d1dff125dd65322ae021efa7ba5195a6db5102b96862566055b748921",
  "google-api-python-client-2.202.0": "aaa90064c9bb642ff1d065b22ca8958a2cb6e345909cefe70d0e5452fc50e08b",
};

const ENTRY = 0x02014b50;
const END = 0x06054b50;
const LOCAL_HEADER = 30;
const BIGGEST = 64 * 1024 * 1024; // inflated

/**
 * One file of a zip archive (PKWARE APPNOTE 4.3), stored or deflated; undefined when the archive has none of that name. Throws on what
 * is no zip archive. Without Zip64: no wheel needs it.
 */
export function zipEntry(zip: Buffer, name: string): Buffer | undefined {
  const end = zip.lastIndexOf(Buffer.from("PK\x05\x06", "latin1"));
  if (end < 0 || zip.readUInt32LE(end) !== END) throw new Error("this is no zip archive");
  let at = zip.readUInt32LE(end + 16);
  for (let left = zip.readUInt16LE(end + 10); left > 0; left--) {
    if (zip.readUInt32LE(at) !== ENTRY) throw new Error("the zip archive's directory is damaged");
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((offset) => zip.readUInt16LE(at + offset));
    const next = at + 46 + (nameLength ?? 0);
    if (zip.toString("utf8", at + 46, next) === name) {
      const local = zip.readUInt32LE(at + 42);
      const start = local + LOCAL_HEADER + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
      const data = zip.subarray(start, start + zip.readUInt32LE(at + 20));
      return zip.readUInt16LE(at + 10) === 0 ? data : inflateRawSync(data, { maxOutputLength: BIGGEST });
    }
    at = next + (extraLength ?? 0) + (commentLength ?? 0);
  }
  return undefined;
}

/** The bytes of a file that must be the pinned one. */
function checked(file: string, sha256: string): Buffer {
  const bytes = readFileSync(file);
  const found = createHash("sha256").update(bytes).digest("hex");
  if (found !== sha256) throw new Error(`${file} has the SHA-256 ${found}, not the pinned ${sha256}: delete it`);
  return bytes;
}

/** Downloads a wheel with pip into the tools' cache, once; undefined, with a word on the console, when pip can't. */
async function wheel(name: string, version: string): Promise<Buffer | undefined> {
  const sha256 = PINNED[`${name}-${version}`];
  if (sha256 === undefined) throw new Error(`no SHA-256 is pinned for ${name} ${version}; add it to PINNED`);
  const { cache } = settingsFrom(process.env);
  const file = join(cache, "wheels", `${name}-${version}-${sha256.slice(0, 12)}.whl`);
  if (existsSync(file)) return checked(file, sha256);
  return await withLock(file, async () => {
    if (existsSync(file)) return checked(file, sha256);
    mkdirSync(join(cache, "wheels"), { recursive: true });
    const folder = mkdtempSync(join(cache, "wheels", "download-"));
    try {
      const flags = ["--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "--quiet"];
      await run("pip", ["download", `${name}==${version}`, ...flags, "-d", folder], { timeout: 120_000 });
      const download = join(folder, `${name.replaceAll("-", "_")}-${version}-py3-none-any.whl`);
      const bytes = checked(download, sha256);
      renameSync(download, file);
      return bytes;
    } catch (thrown) {
      const why = thrown instanceof Error ? (thrown.message.split("\n")[0] ?? "") : "";
      if (why.includes("SHA-256")) throw thrown;
      console.log(`      ${name} ${version} can't be downloaded (${why.slice(0, 200)})`);
      return undefined;
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
}

/**
 * A file of a Python wheel whose SHA-256 is pinned here: vendors ship the machine-readable contracts of their APIs in these. Undefined
 * when the wheel can't be had (a test that needs it is then skipped). Throws when the wheel is not the pinned one or lacks the file.
 */
export async function wheelFile(name: string, version: string, path: string): Promise<Buffer | undefined> {
  const zip = await wheel(name, version);
  if (zip === undefined) return undefined;
  const entry = zipEntry(zip, path);
  if (entry === undefined) throw new Error(`${name} ${version} has no ${path}`);
  return entry;
}
