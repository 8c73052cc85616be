import { ensurePolicyEngine } from "../../hack/policy-engine.ts";
import { settingsFrom } from "../../hack/testcluster/settings.ts";

/** The policy engine's program; builds it first if this machine has none yet, so call it in `before` with `this.timeout(0)`. */
export function enginePath(): Promise<string> {
  return ensurePolicyEngine(settingsFrom(process.env));
}
