import { readFileSync, renameSync, writeFileSync } from "node:fs";

/** Seconds that test files took, by their paths from the checkout on. */
export type Times = Readonly<Record<string, number>>;

/** What was remembered at `path`; nothing where there is no such file, or another one: times are a help, and no more. */
export function readTimes(path: string): Times {
  try {
    const read: unknown = JSON.parse(readFileSync(path, "utf8"));
    if (typeof read !== "object" || read === null) return {};
    return Object.fromEntries(Object.entries(read).filter(([, seconds]) => Number.isFinite(seconds)));
  } catch {
    return {};
  }
}

/** Remembers these beside what is remembered of other files. Whoever reads meanwhile reads the one state or the other. */
export function rememberTimes(path: string, times: Times): void {
  const fresh = `${path}.${process.pid}`;
  writeFileSync(fresh, JSON.stringify({ ...readTimes(path), ...times }, null, 1));
  renameSync(fresh, path);
}
