// Runs the test levels that are named (unit, integration, e2e) one after the other. The last line counts all of them.
// The e2e level runs in the network of a cluster with a real node, which is started for it; KEEP=1 leaves that cluster up.
import { spawnSync } from "node:child_process";
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { settingsFrom } from "./testcluster/settings.ts";
import { type Count, noResults, ROOT, runFiles, sum } from "./testing/count.ts";
import { runInWorkers } from "./testing/workers.ts";

// Tests start the product's programs hundreds of times: Node keeps what it compiled of them.
process.env["NODE_COMPILE_CACHE"] ??= join(settingsFrom(process.env).cache, "compiled");

function filesOf(level: string): readonly string[] {
  const files = globSync(`test/${level}/**/*.test.ts`, { cwd: ROOT }).sort((a, b) => (a < b ? -1 : 1));
  if (files.length === 0) throw new Error(`no test files in test/${level}`);
  return files;
}

/** Integration tests that are told which cluster to use share it, one after the other. */
function isShared(env: NodeJS.ProcessEnv): boolean {
  return env["KUBECONFIG"] !== undefined || env["ENTREPOT_CLUSTER"] !== undefined;
}

async function runLevel(level: string): Promise<Count> {
  if (level === "e2e") return runInCluster();
  const run = level === "integration" && !isShared(process.env) ? runInWorkers : runFiles;
  return await run(level, filesOf(level));
}

/** Runs the e2e level inside a cluster of its own. */
function runInCluster(): Count {
  const env = { ...process.env, ENTREPOT_CLUSTER: process.env["ENTREPOT_CLUSTER"] ?? "e2e" };
  const cluster = (...args: readonly string[]) =>
    spawnSync(join(ROOT, "hack/cluster"), args, { cwd: ROOT, env, stdio: "inherit" }).status;
  const directory = mkdtempSync(join(tmpdir(), "entrepot-tests-"));
  const results = join(directory, "e2e.json");
  try {
    if (cluster("up") !== 0) return noResults("e2e: ./hack/cluster up");
    cluster("exec", "--", process.execPath, import.meta.filename, "--here", results, "e2e");
    return readCount("e2e", results);
  } finally {
    if (process.env["KEEP"] !== "1") cluster("down");
    rmSync(directory, { recursive: true, force: true });
  }
}

function readCount(level: string, results: string): Count {
  try {
    return JSON.parse(readFileSync(results, "utf8")) as Count;
  } catch (thrown) {
    return noResults(`${level}: it gave no results: ${String(thrown)}`);
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
  const [, results = "", level = ""] = args;
  writeFileSync(results, JSON.stringify(await runFiles(level, filesOf(level))));
  process.exit(0);
}
process.exit(await main(args));
