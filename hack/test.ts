// Runs the test levels that are named (unit, integration, e2e) one after the other. The last line counts all of them.
import { globSync } from "node:fs";
import Mocha, { type Test } from "mocha";

const TIMEOUT_MS: Readonly<Record<string, number>> = { unit: 10_000, integration: 60_000, e2e: 300_000 };

interface Count {
  passed: number;
  failed: number;
  readonly skipped: string[];
}

async function runLevel(level: string, count: Count): Promise<void> {
  const files = globSync(`test/${level}/**/*.test.ts`).sort();
  if (files.length === 0) throw new Error(`no test files in test/${level}`);
  const mocha = new Mocha({ timeout: TIMEOUT_MS[level] ?? 60_000, forbidOnly: true, reporter: "spec" });
  for (const file of files) mocha.addFile(file);
  await mocha.loadFilesAsync();
  const started = performance.now();
  await new Promise<void>((resolve) => {
    mocha
      .run(() => resolve())
      .on("pass", () => {
        count.passed += 1;
      })
      .on("fail", () => {
        count.failed += 1;
      })
      .on("pending", (test: Test) => {
        count.skipped.push(`${level}: ${test.fullTitle()}`);
      });
  });
  console.log(`${level}: ${((performance.now() - started) / 1000).toFixed(1)} s`);
}

const count: Count = { passed: 0, failed: 0, skipped: [] };
for (const level of process.argv.slice(2)) await runLevel(level, count);
for (const name of count.skipped) console.log(`skipped: ${name}`);
console.log(`${count.passed} passed, ${count.failed} failed, ${count.skipped.length} skipped`);
process.exit(count.failed === 0 && count.passed > 0 ? 0 : 1);
