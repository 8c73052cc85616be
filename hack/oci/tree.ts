import { lstatSync, readdirSync, readlinkSync, realpathSync } from "node:fs";
import { join } from "node:path";
import type { Entry } from "./tar.ts";

/** A folder of this machine as entries below `to`. Modes become 755 or 644, so the umask of whoever made the files does not matter. */
export function tree(from: string, to: string, keep: (path: string) => boolean = () => true): Entry[] {
  if (!keep(from)) return [];
  const stat = lstatSync(from);
  if (stat.isSymbolicLink()) return [{ path: to, mode: 0o777, link: readlinkSync(from) }];
  if (stat.isFile()) return [{ path: to, mode: stat.mode & 0o100 ? 0o755 : 0o644, file: from }];
  if (!stat.isDirectory()) return [];
  const below = readdirSync(from).flatMap((name) => tree(join(from, name), join(to, name), keep));
  return below.length === 0 ? [] : [{ path: to, mode: 0o755 }, ...below];
}

/** One file of this machine, links followed. */
export function file(path: string, from: string, mode = 0o644): Entry {
  return { path, mode, file: realpathSync(from) };
}

/** A small file from text. */
export function text(path: string, content: string, mode = 0o644): Entry {
  return { path, mode, data: Buffer.from(content) };
}

/** An empty folder. */
export function folder(path: string, mode = 0o755): Entry {
  return { path, mode };
}
