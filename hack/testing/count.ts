import { join } from "node:path";
import Mocha, { type Test } from "mocha";

export const ROOT = join(import.meta.dirname, "../..");

const TIMEOUT_MS: Readonly<Record<string, number>> = { unit: 60_000, integration: 180_000, e2e: 600_000 };

export interface Count {
  readonly passed: number;
  /** A line each, with the reason: what is left of a long run is often its last lines. */
  readonly failed: readonly string[];
  readonly skipped: readonly string[];
}

/** What a run is that gave no results, for the reason told. */
export function noResults(what: string): Count {
  return { passed: 0, failed: [what], skipped: [] };
}

export function sum(counts: readonly Count[]): Count {
  return {
    passed: counts.reduce((total, { passed }) => total + passed, 0),
    failed: counts.flatMap(({ failed }) => failed),
    skipped: counts.flatMap(({ skipped }) => skipped),
  };
}

function inLine(error: unknown): string {
  return String(error).replace(/\s+/g, " ").slice(0, 1_000);
}

/** Runs these files of a level, named from the checkout on, in this process. Rejects if one of them cannot be loaded. */
export async function runFiles(level: string, files: readonly string[]): Promise<Count> {
  const mocha = new Mocha({ timeout: TIMEOUT_MS[level] ?? 180_000, forbidOnly: true, reporter: "spec" });
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
