import { readFileSync, writeFileSync } from "node:fs";

const MS_PER_TICK = 10; // USER_HZ is 100 on every Linux that Node runs on

/** CPU milliseconds that these processes have used, user and system, children not included. */
export function cpuMs(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + cpuTicks(readFileSync(`/proc/${pid}/stat`, "utf8")) * MS_PER_TICK, 0);
}

/** utime + stime of a line of /proc/PID/stat (proc_pid_stat(5)): the command before them may hold spaces and parentheses. */
export function cpuTicks(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return Number(fields[11]) + Number(fields[12]);
}

/** Forgets the peaks of memory so far, where the kernel lets us (proc_pid_clear_refs(5)). */
export function resetPeaks(pids: readonly number[]): void {
  for (const pid of pids) {
    try {
      writeFileSync(`/proc/${pid}/clear_refs`, "5");
    } catch {
      return; // then it is the peak since the process started
    }
  }
}

/** The most resident memory that these processes have had, each at its own time, summed; mebibytes. */
export function peakMiB(pids: readonly number[]): number {
  const kib = pids.map((pid) =>
    Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0),
  );
  return kib.reduce((sum, one) => sum + one, 0) / 1024;
}
