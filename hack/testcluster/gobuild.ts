import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Progress } from "./progress.ts";

export interface GoBuild {
  /** The folder with go.mod. */
  readonly module: string;
  /** The package to build, as the module names it. */
  readonly target: string;
  readonly ldflags: string;
  readonly cgo: boolean;
  readonly output: string;
  /** The system and the machine to build for; default: these. */
  readonly goos?: string;
  readonly goarch?: string;
  /** go build's -buildmode. */
  readonly buildmode?: string;
}

/** Builds a Go program; says how far it is. Throws with the compiler's words when it fails. */
export async function goBuild(build: GoBuild, progress: Progress): Promise<void> {
  const env = {
    ...process.env,
    GOWORK: "off",
    ...(!build.cgo && { CGO_ENABLED: "0" }),
    ...(build.goos !== undefined && { GOOS: build.goos }),
    ...(build.goarch !== undefined && { GOARCH: build.goarch }),
  };
  let downloaded = 0;
  progress.update("reading the module");
  const packages = await goLines(["list", "-deps", "-buildvcs=false", build.target], build.module, env, (line) => {
    if (line.startsWith("go: downloading ")) progress.update(`downloading module ${++downloaded}: ${line.slice(16)}`);
  });
  const total = packages.filter((line) => !line.startsWith("go: ")).length;
  let compiled = 0;
  const flags = [
    "build",
    "-v",
    "-trimpath",
    "-buildvcs=false",
    ...(build.buildmode === undefined ? [] : [`-buildmode=${build.buildmode}`]),
    "-gcflags=all=-dwarf=false", // nobody debugs these; it saves compiling time
    "-ldflags",
    build.ldflags,
    "-o",
    build.output,
    build.target,
  ];
  await goLines(flags, build.module, env, () => {
    compiled += 1;
    progress.update(compiled < total ? `compiled ${compiled} of at most ${total} packages` : "linking");
  });
}

async function goLines(
  args: string[],
  cwd: string,
  env: NodeJS.ProcessEnv,
  onStderr: (line: string) => void,
): Promise<string[]> {
  const child = spawn("go", args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
  const out: string[] = [];
  const err: string[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => out.push(line));
  createInterface({ input: child.stderr }).on("line", (line) => {
    err.push(line);
    onStderr(line);
  });
  const code = await ended(child);
  if (code !== 0) throw new Error(`go ${args[0]} in ${cwd} failed:\n${err.slice(-20).join("\n")}`);
  return out;
}

function ended(child: ChildProcess): Promise<number | null> {
  return new Promise((done, failed) => {
    child.once("error", (error: NodeJS.ErrnoException) => {
      failed(
        error.code === "ENOENT" ? new Error("Go is missing: install Go 1.26 or newer and put it on the PATH") : error,
      );
    });
    child.once("close", done);
  });
}
