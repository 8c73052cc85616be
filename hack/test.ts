// Runs the test levels that are named (unit, integration, e2e) one after the other. The last line counts all of them.
// The e2e level runs in the network of a cluster with a real node, which is started for it; KEEP=1 leaves that cluster up.
import { spawnSync } from "node:child_process";
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Mocha, { type Test } from "mocha";

const ROOT = join(import.meta.dirname, "..");
const TIMEOUT_MS: Readonly<Record<string, number>> = { unit: 10_000, integration: 60_000, e2e: 300_000 };

interface Count {
  readonly passed: number;
  readonly failed: readonly string[];
  readonly skipped: readonly string[];
}

/** Runs one level in this process. */
async function runHere(level: string): Promise<Count> {
  const files = globSync(`test/${level}/**/*.test.ts`, { cwd: ROOT }).sort((a, b) => (a < b ? -1 : 1));
  if (files.length === 0) throw new Error(`no test files in test/${level}`);
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
      .on("fail", (test: Test) => failed.push(name(test)))
      .on("pending", (test: Test) => skipped.push(name(test)));
  });
  return { passed, failed, skipped };
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
    return JSON.parse(readFileSync(results, "utf8")) as Count;
  } catch (thrown) {
    return { passed: 0, failed: [`e2e: it gave no results: ${String(thrown)}`], skipped: [] };
  } finally {
    if (process.env["KEEP"] !== "1") cluster("down");
    rmSync(directory, { recursive: true, force: true });
  }
}

async function main(levels: readonly string[]): Promise<number> {
  const counts: Count[] = [];
  for (const level of levels) {
    const started = performance.now();
    counts.push(level === "e2e" ? runInCluster() : await runHere(level));
    console.log(`${level}: ${((performance.now() - started) / 1000).toFixed(1)} s`);
  }
  const failed = counts.flatMap((count) => count.failed);
  const skipped = counts.flatMap((count) => count.skipped);
  const passed = counts.reduce((sum, count) => sum + count.passed, 0);
  for (const test of skipped) console.log(`skipped: ${test}`);
  for (const test of failed) console.log(`failed: ${test}`);
  console.log(`${passed} passed, ${failed.length} failed, ${skipped.length} skipped`);
  return failed.length === 0 && passed > 0 ? 0 : 1;
}

const args = process.argv.slice(2);
if (args[0] === "--here") {
  writeFileSync(args[1] ?? "", JSON.stringify(await runHere(args[2] ?? "")));
  process.exit(0);
}
process.exit(await main(args));
