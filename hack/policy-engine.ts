// The policy engine (policy-engine/) as WebAssembly, built once into the cache: `node hack/policy-engine.ts` prints its path.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { goBuild } from "./testcluster/gobuild.ts";
import { withLock } from "./testcluster/lock.ts";
import { startProgress } from "./testcluster/progress.ts";
import { type Settings, settingsFrom } from "./testcluster/settings.ts";

/** The name of the file, here and in the image. */
export const ENGINE_FILE = "policy-engine.wasm";
const BUILD = { target: ".", ldflags: "-s -w", cgo: false, goos: "wasip1", goarch: "wasm", buildmode: "c-shared" };

/** The path of the engine; builds it if the cache has none of these sources. Two processes never build it at once. */
export async function ensurePolicyEngine(settings: Settings): Promise<string> {
  const module = join(settings.root, "policy-engine");
  const dir = join(settings.cache, `policy-engine-${fingerprint(module)}`);
  const engine = join(dir, ENGINE_FILE);
  if (existsSync(engine)) return engine;
  return withLock(
    join(settings.cache, "build"), // with the other tools: the compiler uses all cores by itself
    async () => {
      if (existsSync(engine)) return engine;
      const unfinished = `${dir}.tmp`;
      rmSync(unfinished, { recursive: true, force: true });
      mkdirSync(unfinished, { recursive: true });
      const progress = startProgress("Building the policy engine");
      await goBuild({ module, ...BUILD, output: join(unfinished, ENGINE_FILE) }, progress);
      renameSync(unfinished, dir);
      progress.done(`built into ${dir}`);
      return engine;
    },
    () => process.stderr.write("policy engine: another run is building; waiting for it\n"),
  );
}

function fingerprint(module: string): string {
  const hash = createHash("sha256").update(JSON.stringify(BUILD));
  for (const folder of ["", "engine"]) {
    for (const name of readdirSync(join(module, folder)).sort()) {
      if (!/\.go$|^go\.(?:mod|sum)$/.test(name) || name.endsWith("_test.go")) continue;
      hash.update(`\0${folder}/${name}\0`).update(readFileSync(join(module, folder, name)));
    }
  }
  return hash.digest("hex").slice(0, 12);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href)
  console.log(await ensurePolicyEngine(settingsFrom(process.env)));
