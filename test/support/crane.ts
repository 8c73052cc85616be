import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { settingsFrom } from "../../hack/testcluster/settings.ts";
import { ensureTool } from "../../hack/testcluster/tools.ts";

const execute = promisify(execFile);

/** The real crane (go-containerregistry), without a network but the test's registries, which it reaches in plain HTTP. */
export class Crane {
  readonly dir: string;
  readonly #binary: string;

  private constructor(binary: string, dir: string) {
    this.#binary = binary;
    this.dir = dir;
  }

  /** Builds crane first if this machine has none yet: call it in `before` with `this.timeout(0)`. */
  static async create(): Promise<Crane> {
    const binary = await ensureTool(settingsFrom(process.env), "crane");
    return new Crane(binary, mkdtempSync(join(tmpdir(), "entrepot-crane-")));
  }

  /** Runs crane; gives what it prints, trimmed. Rejects with what it says when it fails. */
  async run(...args: readonly string[]): Promise<string> {
    const { stdout, stderr } = await this.#execute(args);
    return (stdout || stderr).trim();
  }

  /** Runs crane, which must fail; gives what it says. */
  async fails(...args: readonly string[]): Promise<string> {
    const said = await this.#execute(args).then(
      () => undefined,
      (error: { stderr: string }) => error.stderr,
    );
    if (said === undefined) throw new Error(`crane ${args.join(" ")} did not fail`);
    return said;
  }

  dispose(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }

  #execute(args: readonly string[]): Promise<{ stdout: string; stderr: string }> {
    const env = { PATH: process.env["PATH"], HOME: this.dir };
    return execute(this.#binary, [...args, "--insecure"], { cwd: this.dir, env, timeout: 180_000 });
  }
}
