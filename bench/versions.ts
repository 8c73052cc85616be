import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { settingsFrom } from "../hack/testcluster/settings.ts";
import { type ToolName, toolVersion } from "../hack/testcluster/tools.ts";
import type { Contestant } from "./contestant.ts";

const ROOT = join(import.meta.dirname, "..");
const COMMON: Readonly<Record<string, ToolName>> = { kubernetes: "kube", registry: "registry", cosign: "cosign" };

/** Versions of the contestants and of all that is the same for them. */
export async function versionsOf(contestants: readonly Contestant[]): Promise<Readonly<Record<string, string>>> {
  const settings = settingsFrom(process.env);
  const theirs = await Promise.all(contestants.map(async ({ name, version }) => [name, await version()] as const));
  const common = Object.entries(COMMON).map(([name, tool]) => [name, toolVersion(settings, tool)] as const);
  return Object.fromEntries([...theirs, ...common]);
}

/** The checkout's version and commit; `-dirty` where files differ from it. */
export function checkout(): string {
  const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { readonly version: string };
  try {
    const said = execFileSync("git", ["describe", "--always", "--dirty"], {
      cwd: ROOT,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    return `${version} (${said.trim()})`;
  } catch {
    return version; // no repository, or no git
  }
}
