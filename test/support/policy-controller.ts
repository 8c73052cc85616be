// The real sigstore policy-controller beside a control plane of its own, to compare ours with.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ClusterHandle } from "../../hack/testcluster/handle.ts";
import { type CommandResult, run } from "../../hack/testcluster/run.ts";
import { settingsFrom } from "../../hack/testcluster/settings.ts";
import { ensureTool } from "../../hack/testcluster/tools.ts";
import { ApiServer } from "./api-server.ts";
import { ownControlPlane } from "./cluster.ts";
import {
  POLICY_CONTROLLER_NAMESPACE,
  type PolicyControllerProcess,
  startPolicyController,
  takenPort,
} from "./policy-controller-process.ts";

const END_MS = 90_000;

/** policy-controller, in force on an API server of its own. */
export interface PolicyController extends Omit<PolicyControllerProcess, "pid" | "remove"> {
  readonly cluster: ClusterHandle;
  readonly api: ApiServer;
  /** Ends it and its API server; whoever asks for one next gets a new one. */
  end(): Promise<void>;
}

let shared: Promise<PolicyController> | undefined;

/**
 * The policy-controller of this test run, started by whoever asks first; it ends with this process. Skips the running suite, by name and with the
 * reason on the console, where one of its fixed ports is taken. Call it in `before` with `this.timeout(0)`: the first time on a machine it is built.
 */
export async function policyController(context: Mocha.Context): Promise<PolicyController> {
  if (shared === undefined) {
    const taken = await takenPort();
    if (taken !== undefined) {
      const title = context.test?.parent?.fullTitle() ?? "a test";
      console.error(
        `      skipped: ${title}: policy-controller listens on port ${taken}, which is in use here, and nothing moves it (run this in a network namespace of its own: unshare --net, with lo up and an address on a dummy interface)`,
      );
      context.skip();
    }
    shared = start();
  }
  return shared;
}

async function start(): Promise<PolicyController> {
  const { cluster, end } = await ownControlPlane("compare");
  const api = await ApiServer.connect(cluster.kubeconfig);
  const { log, metrics, alive } = await startPolicyController(cluster, api);
  return {
    cluster,
    api,
    log,
    metrics,
    alive,
    async end() {
      shared = undefined;
      await api.close();
      await end();
    },
  };
}

/** How it ends, and the end of what it says, with these arguments and no cluster; rejects if it goes on for too long. */
export async function runPolicyController(args: readonly string[]): Promise<CommandResult> {
  const settings = settingsFrom(process.env);
  const binary = await ensureTool(settings, "policycontroller");
  const home = mkdtempSync(join(tmpdir(), "entrepot-policy-controller-"));
  try {
    const env = { HOME: home, SYSTEM_NAMESPACE: POLICY_CONTROLLER_NAMESPACE };
    return await run([binary, ...args], { env, timeoutMs: END_MS });
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}
