// What admission costs: contestants take turns on one API server, with one registry and one set of images. See docs/bench.md.
import { messageOf } from "../core/errors.ts";
import { readOptions } from "./options.ts";
import { run } from "./run.ts";

// What contestants started ends with this process, however it ends.
for (const [signal, code] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const)
  process.once(signal, () => process.exit(code));

async function main(): Promise<number> {
  try {
    const troubles = await run(readOptions(process.argv.slice(2)));
    for (const trouble of troubles) console.error(`Failed: ${trouble}`);
    return troubles.length === 0 ? 0 : 1;
  } catch (error) {
    console.error(messageOf(error));
    return 1;
  }
}

process.exit(await main());
