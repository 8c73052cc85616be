import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { freePort } from "../../hack/testcluster/controlplane.ts";
import { settingsFrom } from "../../hack/testcluster/settings.ts";
import { ensureTool } from "../../hack/testcluster/tools.ts";
import { eventually } from "./kube.ts";
import type { TestRegistry } from "./registry.ts";

/** A real registry that has the referrers API, and holds no referrers tag unless somebody pushes one: go-containerregistry's, in memory. */
export class ReferrersRegistry {
  /** `host:port`. */
  readonly host: string;
  readonly #child: ChildProcess;
  #log = "";

  private constructor(host: string, child: ChildProcess) {
    this.host = host;
    this.#child = child;
    child.stdout?.on("data", (chunk: Buffer) => {
      this.#log += chunk.toString();
    });
  }

  /** Builds it first if this machine has none yet: call it in `before` with `this.timeout(0)`. */
  static async start(): Promise<ReferrersRegistry> {
    const binary = await ensureTool(settingsFrom(process.env), "referrers");
    const host = `127.0.0.1:${await freePort()}`;
    const child = spawn(binary, [host], { env: {}, stdio: ["ignore", "pipe", "inherit"] });
    const registry = new ReferrersRegistry(host, child);
    await eventually("the registry answers", async () =>
      fetch(`${registry.origin}/v2/`).then(
        ({ ok }) => ok,
        () => false,
      ),
    );
    return registry;
  }

  get origin(): string {
    return `http://${this.host}`;
  }

  /** For what pushes to registries (registry.ts). */
  get store(): TestRegistry {
    return { host: this.host, newRequests: () => [], stop: () => this.stop() };
  }

  /** How many requests there were whose path has `part` in it. */
  count(part: string): number {
    return this.#log.split("\n").filter((line) => line.includes(part)).length;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill("SIGKILL");
    await once(this.#child, "exit");
  }
}
