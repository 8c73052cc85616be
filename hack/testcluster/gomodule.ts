import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Settings } from "./settings.ts";

/**
 * Where Go keeps the source of `module`, of the version that go.mod in hack/tools/`folder` names; it is downloaded if it is not there.
 * Rejects with Go's words when it cannot be had.
 */
export async function moduleFolder(settings: Settings, folder: string, module: string): Promise<string> {
  const cwd = join(settings.root, "hack/tools", folder);
  const { stdout } = await promisify(execFile)("go", ["mod", "download", "-json", module], { cwd });
  return (JSON.parse(stdout) as { readonly Dir: string }).Dir;
}
