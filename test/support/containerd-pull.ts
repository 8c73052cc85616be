import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { findProgram } from "../../hack/testcluster/processes.ts";
import { eventually } from "./kube.ts";

const execute = promisify(execFile);

/** The machine's containerd as a process of its own, its state in a folder of its own, that only pulls: it runs no container. */
export class ContainerdPull {
  readonly #ctr: string;
  readonly #socket: string;
  readonly #child: ChildProcess;
  readonly #dir: string;

  private constructor(ctr: string, socket: string, child: ChildProcess, dir: string) {
    this.#ctr = ctr;
    this.#socket = socket;
    this.#child = child;
    this.#dir = dir;
  }

  /** Undefined where the machine has no containerd or the test may not run it (it wants to be root). */
  static async start(): Promise<ContainerdPull | undefined> {
    const [daemon, ctr] = [findProgram("containerd"), findProgram("ctr")];
    if (daemon === undefined || ctr === undefined || process.getuid?.() !== 0) return undefined;
    const dir = mkdtempSync(join(tmpdir(), "entrepot-containerd-"));
    const socket = join(dir, "c.sock");
    const config = `version = 2
root = "${join(dir, "root")}"
state = "${join(dir, "state")}"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
  address = "${socket}"
[ttrpc]
  address = "${socket}.ttrpc"
`;
    writeFileSync(join(dir, "config.toml"), config);
    const child = spawn(daemon, ["--config", join(dir, "config.toml")], { stdio: "ignore" });
    const pull = new ContainerdPull(ctr, socket, child, dir);
    await eventually("containerd answers", async () => {
      if (child.exitCode !== null) throw new Error("containerd ended");
      return existsSync(socket) && (await pull.#run("version").then(Boolean, () => false));
    });
    return pull;
  }

  /**
   * Fetches an image for every platform; gives the digests of all that containerd then has. It keeps nothing whose digest is wrong.
   * `hostsDir` is a folder of hosts.toml files (`certs.d`) that says where it asks.
   */
  async fetch(reference: string, hostsDir?: string): Promise<readonly string[]> {
    const hosts = hostsDir === undefined ? [] : ["--hosts-dir", hostsDir];
    await this.#run("content", "fetch", "--plain-http", "--all-platforms", ...hosts, reference);
    const digests = await this.#run("content", "ls", "-q");
    return digests.split("\n").filter((digest) => digest !== "");
  }

  /** What `fetch` says when it fails; rejects if it does not. */
  async fails(reference: string): Promise<string> {
    return await this.fetch(reference).then(
      () => Promise.reject(new Error(`${reference} was fetched`)),
      (error: Error) => error.message,
    );
  }

  /** The content that containerd has of a digest. */
  read(digest: string): Buffer {
    const [algorithm = "", hex = ""] = digest.split(":");
    return readFileSync(join(this.#dir, "root/io.containerd.content.v1.content/blobs", algorithm, hex));
  }

  /** Removes all images and content. */
  async empty(): Promise<void> {
    for (const kind of ["images", "content"]) {
      const names = (await this.#run(kind, "ls", "-q")).split("\n").filter((name) => name !== "");
      if (names.length > 0) await this.#run(kind, "rm", ...(kind === "images" ? ["--sync"] : []), ...names);
    }
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const exit = once(this.#child, "exit");
      this.#child.kill("SIGTERM");
      await exit;
    }
    rmSync(this.#dir, { recursive: true, force: true });
  }

  async #run(...args: readonly string[]): Promise<string> {
    const { stdout } = await execute(this.#ctr, ["--address", this.#socket, ...args], { timeout: 180_000 });
    return stdout;
  }
}
