import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { findProgram } from "../../hack/testcluster/processes.ts";

const execute = promisify(execFile);

/** The machine's skopeo (Debian's package of that name), which reaches the test's registries in plain HTTP. */
export class Skopeo {
  readonly dir: string;
  readonly #binary: string;

  private constructor(binary: string, dir: string) {
    this.#binary = binary;
    this.dir = dir;
  }

  /** Undefined where the machine has none. */
  static find(): Skopeo | undefined {
    const binary = findProgram("skopeo");
    return binary === undefined ? undefined : new Skopeo(binary, mkdtempSync(join(tmpdir(), "entrepot-skopeo-")));
  }

  async inspect(reference: string, ...flags: readonly string[]): Promise<string> {
    return await this.#run("inspect", "--tls-verify=false", ...flags, `docker://${reference}`);
  }

  /** Copies an image with all its parts into a new folder, which skopeo does only when every digest is right. Gives its index as stored. */
  async pull(reference: string): Promise<Buffer> {
    const folder = mkdtempSync(join(this.dir, "image-"));
    await this.#run(
      "copy",
      "--all",
      "--preserve-digests",
      "--src-tls-verify=false",
      `docker://${reference}`,
      `dir:${folder}`,
    );
    return readFileSync(join(folder, "manifest.json"));
  }

  dispose(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }

  async #run(command: string, ...args: readonly string[]): Promise<string> {
    const env = { PATH: process.env["PATH"], HOME: this.dir, TMPDIR: this.dir };
    const { stdout } = await execute(this.#binary, ["--insecure-policy", command, ...args], { env, timeout: 180_000 });
    return stdout;
  }
}
