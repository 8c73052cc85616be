import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type ContainerdFiles, leftOutText } from "../core/render/containerd.ts";

/** Whether it names a folder in the one it is put into, and nothing else. */
const isName = (text: string): boolean => /^[^/\\]+$/.test(text) && text !== "." && text !== "..";

/**
 * Writes `DIR/<host>/hosts.toml` for every upstream and gives what is said of it. The hosts are other people's words: one that would lead
 * out of the folder is refused, before anything is written.
 */
export async function writeHostsFiles(dir: string, { files, notExpressed }: ContainerdFiles): Promise<string> {
  const outside = files.find(({ directory }) => !isName(directory));
  if (outside !== undefined) throw new Error(`${JSON.stringify(outside.directory)} is no name of a folder in ${dir}`);
  const paths = files.map(({ directory, content }) => ({ path: join(dir, directory, "hosts.toml"), content }));
  for (const { path, content } of paths) {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
  }
  const rest = leftOutText(notExpressed);
  return [...paths.map(({ path }) => `wrote ${path}`), ...(rest === "" ? [] : [rest])].join("\n");
}
