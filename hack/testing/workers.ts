import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { settingsFrom } from "../testcluster/settings.ts";
import { type Count, sum } from "./count.ts";
import { TestProcess } from "./process.ts";
import { FileQueue } from "./queue.ts";
import { readTimes, rememberTimes } from "./times.ts";

/** One more than there are processors: a test waits for a good part of its time. Each has a control plane, of 1 GB. */
const WORKERS = Math.min(availableParallelism() + 1, 6);
const SLOWEST = 10;

/** Runs a level's files in several processes at once. What a file prints is seen when it has ended. */
export async function runInWorkers(level: string, files: readonly string[]): Promise<Count> {
  const directory = mkdtempSync(join(tmpdir(), "entrepot-tests-"));
  const memory = join(settingsFrom(process.env).cache, "test-times.json");
  const queue = new FileQueue(files, readTimes(memory));
  const counts: Count[] = [];
  const took: { readonly file: string; readonly seconds: number; readonly isWell: boolean }[] = [];
  const work = async (_: unknown, number: number) => {
    const worker = new TestProcess(level, join(directory, `${number}.log`));
    for (let file = await queue.take(); file !== undefined; file = await queue.take()) {
      const began = performance.now();
      const count = await worker.run(file);
      counts.push(count);
      took.push({ file, seconds: (performance.now() - began) / 1000, isWell: count.failed.length === 0 });
      queue.end(file);
    }
    counts.push(await worker.end());
  };
  try {
    await Promise.all(Array.from({ length: Math.min(WORKERS, files.length) }, work));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  mkdirSync(dirname(memory), { recursive: true });
  const well = took.filter(({ isWell }) => isWell); // a file that failed may have ended early
  rememberTimes(memory, Object.fromEntries(well.map(({ file, seconds }) => [file, Math.round(seconds)])));
  const slowest = took.toSorted((a, b) => b.seconds - a.seconds).slice(0, SLOWEST);
  for (const { file, seconds } of slowest) console.log(`${file}: ${seconds.toFixed(1)} s`);
  return sum(counts);
}
