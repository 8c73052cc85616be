import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ConnectedKubeClient } from "../../adapters/kube/client.ts";
import { type ClusterHandle, type CommandResult, requireNoOperator, sharedCluster } from "./cluster.ts";
import { install } from "./install.ts";
import { adminClient } from "./kube.ts";

const ROOT = join(import.meta.dirname, "../..");

/** `kubectl entrepot` as a plugin of the real kubectl, in a folder of its own, and a cluster with our kinds and nobody who minds them. */
export class Plugin {
  readonly cluster: ClusterHandle;
  readonly client: ConnectedKubeClient;
  /** The folder; tests may write into it. */
  readonly dir: string;

  private constructor(cluster: ClusterHandle, client: ConnectedKubeClient) {
    this.cluster = cluster;
    this.client = client;
    this.dir = mkdtempSync(join(tmpdir(), "entrepot-plugin-"));
    symlinkSync(join(ROOT, "cli/main.ts"), join(this.dir, "kubectl-entrepot"));
  }

  /** Skips, by name, where the cluster has an operator. */
  static async install(context: Mocha.Context): Promise<Plugin> {
    const cluster = await sharedCluster();
    requireNoOperator(context, cluster);
    await install(cluster, "crds");
    return new Plugin(cluster, await adminClient(cluster));
  }

  /** `kubectl entrepot …` */
  run(...argv: readonly string[]): Promise<CommandResult> {
    return this.cluster.run([this.cluster.program("kubectl"), "entrepot", ...argv], {
      env: {
        KUBECONFIG: this.cluster.kubeconfig,
        PATH: [this.dir, join(ROOT, "node_modules/.bin"), process.env["PATH"]].join(":"),
      },
    });
  }

  async remove(): Promise<void> {
    rmSync(this.dir, { recursive: true, force: true });
    await this.client.close();
  }
}
