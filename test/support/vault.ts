import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { settingsFrom } from "../../hack/testcluster/settings.ts";
import { ensureTool } from "../../hack/testcluster/tools.ts";
import { eventually } from "./kube.ts";

/** A real HashiCorp Vault on loopback, in memory, unsealed, with the transit engine at `transit/`. */
export class Vault {
  readonly address: string;
  readonly rootToken: string;
  readonly #child: ChildProcess;

  private constructor(address: string, rootToken: string, child: ChildProcess) {
    this.address = address;
    this.rootToken = rootToken;
    this.#child = child;
  }

  /** Builds Vault first if this machine has none yet: call it in `before` with `this.timeout(0)`. */
  static async start(port: number): Promise<Vault> {
    const binary = await ensureTool(settingsFrom(process.env), "vault");
    const child = spawn(binary, [`127.0.0.1:${port}`], { stdio: "ignore" });
    const kill = (): boolean => child.kill("SIGKILL");
    process.once("exit", kill);
    child.once("exit", () => process.off("exit", kill));
    const address = `http://127.0.0.1:${port}`;
    const call = async (path: string, body: object): Promise<{ keys?: string[]; root_token?: string }> => {
      const answer = await fetch(`${address}/v1/${path}`, { method: "PUT", body: JSON.stringify(body) });
      return (await answer.json()) as { keys?: string[]; root_token?: string };
    };
    const up = () =>
      fetch(`${address}/v1/sys/seal-status`).then(
        ({ ok }) => ok,
        () => false,
      );
    await eventually("Vault listens", up, 60_000);
    const { keys, root_token: token = "" } = await call("sys/init", { secret_shares: 1, secret_threshold: 1 });
    await call("sys/unseal", { key: keys?.[0] });
    const vault = new Vault(address, token, child);
    await eventually("Vault is active", () => fetch(`${address}/v1/sys/health`).then(({ status }) => status === 200));
    await vault.write("sys/mounts/transit", { type: "transit" });
    return vault;
  }

  /** Writes as root; gives what comes back. Throws with Vault's words. */
  async write(path: string, body: object = {}): Promise<Record<string, unknown>> {
    const headers = { "x-vault-token": this.rootToken };
    const answer = await fetch(`${this.address}/v1/${path}`, { method: "POST", headers, body: JSON.stringify(body) });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`Vault: ${path}: ${answer.status} ${text}`);
    return text === "" ? {} : (JSON.parse(text) as Record<string, unknown>);
  }

  /** How many tokens there are. */
  async tokens(): Promise<number> {
    const headers = { "x-vault-token": this.rootToken };
    const answer = await fetch(`${this.address}/v1/auth/token/accessors?list=true`, { headers });
    return ((await answer.json()) as { data: { keys: string[] } }).data.keys.length;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    this.#child.kill("SIGTERM");
    await once(this.#child, "exit");
  }
}
