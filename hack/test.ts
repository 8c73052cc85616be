// Runs the test levels that are named (unit, integration, e2e) one after the other. The last line counts all of them.
// The e2e level runs in the network of a cluster with a real node, which is started for it; KEEP=1 leaves that cluster up.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, globSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Mocha, { type Test } from "mocha";

const ROOT = join(import.meta.dirname, "..");
const TIMEOUT_MS: Readonly<Record<string, number>> = { unit: 10_000, integration: 60_000, e2e: 300_000 };

interface Count {
  readonly passed: number;
  /** A line each, with the reason: what is left of a long run is often its last lines. */
  readonly failed: readonly string[];
  readonly skipped: readonly string[];
}

function filesOf(level: string): readonly string[] {
  const files = globSync(`test/${level}/**/*.test.ts`, { cwd: ROOT }).sort((a, b) => (a < b ? -1 : 1));
  if (files.length === 0) throw new Error(`no test files in test/${level}`);
  return files;
}

function inLine(error: unknown): string {
  return String(error).replace(/\s+/g, " ").slice(0, 1_000);
}

/** Runs these files of a level in this process. */
async function runHere(level: string, files = filesOf(level)): Promise<Count> {
  const mocha = new Mocha({ timeout: TIMEOUT_MS[level] ?? 60_000, forbidOnly: true, reporter: "spec" });
  for (const file of files) mocha.addFile(join(ROOT, file));
  await mocha.loadFilesAsync();
  const failed: string[] = [];
  const skipped: string[] = [];
  let passed = 0;
  const name = (test: Test) => `${level}: ${test.fullTitle()}`;
  await new Promise<void>((resolve) => {
    mocha
      .run(() => resolve())
      .on("pass", () => {
        passed += 1;
      })
      .on("fail", (test: Test, error: unknown) => failed.push(`${name(test)}: ${inLine(error)}`))
      .on("pending", (test: Test) => skipped.push(name(test)));
  });
  return { passed, failed, skipped };
}

/** policy-controller has fixed ports: whoever wants it is in one process. */
const ONE_OF_A_KIND = /support\/(?:policy-controller|differential\/)/;

/** Files for two processes at once, each of which has a control plane of its own: most of a test's time is waiting. */
function lanesOf(files: readonly string[]): readonly (readonly string[])[] {
  const alone = files.filter((file) => ONE_OF_A_KIND.test(readFileSync(join(ROOT, file), "utf8")));
  const others = files.filter((file) => !alone.includes(file));
  return [[...alone, ...others.filter((_, at) => at % 2 === 0)], others.filter((_, at) => at % 2 === 1)];
}

/** Runs a level in two processes. The first one's output is seen as it comes, the other's when both are done. */
async function runInLanes(level: string): Promise<Count> {
  const directory = mkdtempSync(join(tmpdir(), "entrepot-tests-"));
  try {
    const ended = lanesOf(filesOf(level)).map(async (files, lane) => {
      const [results, output] = [join(directory, `${lane}.json`), join(directory, `${lane}.log`)];
      const log = lane === 0 ? undefined : openSync(output, "w");
      const child = spawn(process.execPath, [import.meta.filename, "--here", results, level, ...files], {
        cwd: ROOT,
        stdio: ["ignore", log ?? "inherit", log ?? "inherit"],
      });
      await once(child, "exit");
      if (log !== undefined) closeSync(log);
      return { results, output: log === undefined ? undefined : output };
    });
    const lanes = await Promise.all(ended);
    for (const { output } of lanes) if (output !== undefined) process.stdout.write(readFileSync(output));
    return sum(lanes.map(({ results }) => readCount(level, results)));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function readCount(level: string, results: string): Count {
  try {
    return JSON.parse(readFileSync(results, "utf8")) as Count;
  } catch (thrown) {
    return { passed: 0, failed: [`${level}: it gave no results: ${String(thrown)}`], skipped: [] };
  }
}

function sum(counts: readonly Count[]): Count {
  return {
    passed: counts.reduce((total, { passed }) => total + passed, 0),
    failed: counts.flatMap(({ failed }) => failed),
    skipped: counts.flatMap(({ skipped }) => skipped),
  };
}

/** Integration tests that are told which cluster to use share it, one after the other. */
function isShared(env: NodeJS.ProcessEnv): boolean {
  return env["KUBECONFIG"] !== undefined || env["ENTREPOT_CLUSTER"] !== undefined;
}

async function runLevel(level: string): Promise<Count> {
  if (level === "e2e") return runInCluster();
  return level === "integration" && !isShared(process.env) ? await runInLanes(level) : await runHere(level);
}

/** Runs the e2e level inside a cluster of its own. */
function runInCluster(): Count {
  const env = { ...process.env, ENTREPOT_CLUSTER: process.env["ENTREPOT_CLUSTER"] ?? "e2e" };
  const cluster = (...args: readonly string[]) =>
    spawnSync(join(ROOT, "hack/cluster"), args, { cwd: ROOT, env, stdio: "inherit" }).status;
  const directory = mkdtempSync(join(tmpdir(), "entrepot-tests-"));
  const results = join(directory, "e2e.json");
  try {
    if (cluster("up") !== 0) return { passed: 0, failed: ["e2e: ./hack/cluster up"], skipped: [] };
    cluster("exec", "--", process.execPath, import.meta.filename, "--here", results, "e2e");
    return readCount("e2e", results);
  } finally {
    if (process.env["KEEP"] !== "1") cluster("down");
    rmSync(directory, { recursive: true, force: true });
  }
}

async function main(levels: readonly string[]): Promise<number> {
  const counts: Count[] = [];
  for (const level of levels) {
    const started = performance.now();
    counts.push(await runLevel(level));
    console.log(`${level}: ${((performance.now() - started) / 1000).toFixed(1)} s`);
  }
  const { passed, failed, skipped } = sum(counts);
  for (const test of skipped) console.log(`skipped: ${test}`);
  for (const test of failed) console.log(`failed: ${test}`);
  console.log(`${passed} passed, ${failed.length} failed, ${skipped.length} skipped`);
  return failed.length === 0 && passed > 0 ? 0 : 1;
}

const args = process.argv.slice(2);
if (args[0] === "--here") {
  const [, results = "", level = "", ...files] = args;
  writeFileSync(results, JSON.stringify(await runHere(level, files.length > 0 ? files : filesOf(level))));
  process.exit(0);
}
process.exit(await main(args));
