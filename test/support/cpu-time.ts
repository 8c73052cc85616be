const RUNS = 3;

/**
 * Milliseconds of CPU that this thread needs for `work`, in the quickest of a few runs: what other processes do meanwhile does not count, nor
 * does compiling it.
 */
export function cpuMs(work: () => void): number {
  const runs = Array.from({ length: RUNS }, () => {
    const before = process.threadCpuUsage();
    work();
    const { user, system } = process.threadCpuUsage(before);
    return (user + system) / 1_000;
  });
  return Math.min(...runs);
}
