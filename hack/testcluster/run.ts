import { spawn } from "node:child_process";

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string | Buffer;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Milliseconds before the command is killed; two minutes unless given. */
  readonly timeoutMs?: number;
}

const OUTPUT_LIMIT = 16 << 20; // characters kept of each stream

/** Runs a command, never through a shell. Resolves whatever its exit code; rejects if it cannot be run or takes too long. */
export function run(
  argv: readonly string[],
  options: Omit<RunOptions, "env"> & { env: NodeJS.ProcessEnv },
): Promise<CommandResult> {
  const [program = "", ...args] = argv;
  const timeout = options.timeoutMs ?? 120_000;
  return new Promise((done, failed) => {
    const child = spawn(program, args, {
      env: options.env,
      ...(options.cwd && { cwd: options.cwd }),
      timeout,
      killSignal: "SIGKILL",
    });
    const read = { stdout: "", stderr: "" };
    for (const stream of ["stdout", "stderr"] as const) {
      child[stream].setEncoding("utf8").on("data", (text: string) => {
        if (read[stream].length < OUTPUT_LIMIT) read[stream] += text;
      });
    }
    child.once("error", failed);
    child.once("close", (code, signal) => {
      if (code !== null) done({ code, ...read });
      else failed(new Error(`${argv.join(" ")}: ended by ${signal} after ${timeout} ms at most\n${read.stderr}`));
    });
    child.stdin.on("error", () => {}); // a command may end without reading its input
    child.stdin.end(options.input ?? "");
  });
}
