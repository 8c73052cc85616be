// The steps of `up` that run in the cluster's network: node hack/testcluster/inside.ts STEP ...

import { messageOf } from "../../core/errors.ts";
import { requireRecord } from "./exec.ts";
import { apiReady, registryReady } from "./health.ts";
import { startNodeDaemons } from "./node-daemons.ts";
import { installProduct } from "./product.ts";
import { settingsFrom } from "./settings.ts";

const [step, ...args] = process.argv.slice(2);
const settings = settingsFrom(process.env);
async function check(): Promise<void> {
  const { server, registry } = requireRecord(settings);
  if (!(await apiReady(settings.dir, server))) throw new Error("the API server does not answer");
  if (!(await registryReady(registry))) throw new Error("the registry does not answer");
}

const say = (line: string) => process.stderr.write(`${line}\n`);
try {
  if (step === "start-node") await startNodeDaemons(settings);
  else if (step === "install") await installProduct(settings, requireRecord(settings), JSON.parse(args[0] ?? ""), say);
  else if (step === "check") await check();
  else throw new Error(`no step "${step}"`);
} catch (error) {
  say(`cluster: ${messageOf(error)}`);
  process.exitCode = 1;
}
