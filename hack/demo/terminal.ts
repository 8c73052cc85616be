import type { ClusterHandle, CommandResult } from "../../test/support/cluster.ts";

const COLOUR = process.stdout.isTTY;
const paint = (code: string, text: string) => (COLOUR ? `\u001b[${code}m${text}\u001b[0m` : text);
const LINES = 40;

/** Prints every step as a user would type it, and what came back; collects what did not come out as promised. */
export class Terminal {
  readonly #cluster: ClusterHandle;
  readonly #broken: string[] = [];
  readonly #env: Readonly<Record<string, string>>;

  constructor(cluster: ClusterHandle, env: Readonly<Record<string, string>>) {
    this.#cluster = cluster;
    this.#env = env;
  }

  /** What did not come out as promised, in words. */
  get broken(): readonly string[] {
    return this.#broken;
  }

  heading(text: string): void {
    console.log(`\n${paint("1;36", `## ${text}`)}`);
  }

  say(text: string): void {
    console.log(paint("2", `# ${text}`));
  }

  /** Notes whether a promise held. */
  check(promise: string, held: boolean): void {
    console.log(`${held ? paint("1;32", "✔") : paint("1;31", "✘")} ${promise}`);
    if (!held) this.#broken.push(promise);
  }

  /** Runs a shell line in the cluster's network, prints it and its output. Rejects when it fails and was not allowed to. */
  async sh(line: string, options: { input?: string; mayFail?: boolean; quiet?: boolean } = {}): Promise<CommandResult> {
    const heredoc = options.input === undefined ? "" : ` <<EOF\n${options.input.trim()}\nEOF`;
    if (options.quiet !== true) console.log(paint("1", `$ ${line}${heredoc}`));
    const result = await this.#cluster.run(["bash", "-c", line], {
      env: this.#env,
      timeoutMs: 240_000, // longer than any `kubectl wait`, whose words tell more
      ...(options.input !== undefined && { input: options.input }),
    });
    const output = `${result.stdout}${result.stderr}`.trimEnd();
    if (options.quiet !== true && output !== "") console.log(clipped(output));
    if (result.code !== 0 && options.mayFail !== true) throw new Error(`exit code ${result.code}: ${line}\n${output}`);
    return result;
  }

  /** The output of a line that is not shown. */
  async read(line: string): Promise<string> {
    return (await this.sh(line, { quiet: true })).stdout.trim();
  }
}

function clipped(output: string): string {
  const lines = output.split("\n").map((line) => (line.length > 220 ? `${line.slice(0, 217)}…` : line));
  return lines.length > LINES
    ? [...lines.slice(0, LINES), `… (${lines.length - LINES} more lines)`].join("\n")
    : lines.join("\n");
}
