import { VERSION } from "./adapters/version.ts";
import { messageOf } from "./core/errors.ts";

type Run = (env: NodeJS.ProcessEnv, signal: AbortSignal, argv: readonly string[]) => Promise<void>;

// Each part is loaded only when it is the one that runs.
const PARTS: Readonly<Record<string, () => Promise<{ readonly run: Run }>>> = {
  operator: () => import("./operator/run.ts"),
  webhook: () => import("./webhooks/run.ts"),
  gateway: () => import("./gateway/run.ts"),
};

const USAGE = `Usage: entrepot ${Object.keys(PARTS).join(" | ")} | --version\n`;

function die(what: string, thrown: unknown): never {
  const stack = thrown instanceof Error ? thrown.stack : undefined;
  process.stderr.write(
    `${JSON.stringify({ level: 60, time: new Date().toISOString(), msg: what, error: messageOf(thrown), stack })}\n`,
  );
  process.exit(1);
}

async function main(argument: string | undefined): Promise<void> {
  if (argument === "--version") {
    process.stdout.write(`entrepot ${VERSION}\n`);
    return;
  }
  const load = argument !== undefined && Object.hasOwn(PARTS, argument) ? PARTS[argument] : undefined;
  if (load === undefined) {
    process.stderr.write(USAGE);
    process.exitCode = 2;
    return;
  }
  const stop = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const)
    process.on(signal, () => stop.abort(new Error(`received ${signal}`)));
  process.on("unhandledRejection", (reason) => die("unhandled rejection, ending", reason));
  process.on("uncaughtException", (error) => die("uncaught exception, ending", error));
  const { run } = await load();
  await run(process.env, stop.signal, process.argv.slice(3));
}

main(process.argv[2]).then(
  () => process.exit(),
  (thrown: unknown) => die("failed, ending", thrown),
);
