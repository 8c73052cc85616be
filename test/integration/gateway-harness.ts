import { type ChildProcess, fork, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CacheRuleView } from "../../core/cacherule/servable.ts";
import { freePort } from "../../hack/testcluster/controlplane.ts";
import { TEST_USER } from "../../hack/testcluster/registry.ts";
import { settingsFrom } from "../../hack/testcluster/settings.ts";
import { ensureTool } from "../../hack/testcluster/tools.ts";
import { eventually } from "../support/kube.ts";
import type { ChildOptions } from "./gateway-child.ts";

const HTPASSWD = "test:$2y$05$entrepotentrepotentre.1jNQN2eb8Ehf9EMv004T5VlMlGxf3t.\n"; // TEST_USER's

export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const OCI_INDEX = "application/vnd.oci.image.index.v1+json";

/** What a test started, ended in the reverse order. */
export class Cleanup {
  readonly #steps: (() => unknown)[] = [];

  add(step: () => unknown): void {
    this.#steps.push(step);
  }

  async run(): Promise<void> {
    const failures: unknown[] = [];
    for (const step of this.#steps.splice(0).reverse()) {
      try {
        await step();
      } catch (thrown) {
        failures.push(thrown); // what was begun before is to end as well
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}

/** A real CNCF distribution on loopback; with `upstream` a pull-through cache of that address. */
export class Distribution {
  readonly port: number;
  readonly #dir: string;
  readonly #binary: string;
  #process: ChildProcess | undefined;

  private constructor(port: number, dir: string, binary: string) {
    this.port = port;
    this.#dir = dir;
    this.#binary = binary;
  }

  static async start(
    cleanup: Cleanup,
    options: {
      auth?: boolean;
      upstream?: { readonly origin: string };
      headers?: Readonly<Record<string, readonly string[]>>;
    } = {},
  ): Promise<Distribution> {
    const binary = await ensureTool(settingsFrom(process.env), "registry");
    const dir = mkdtempSync(join(tmpdir(), "entrepot-gateway-"));
    cleanup.add(() => rmSync(dir, { recursive: true, force: true, maxRetries: 5 }));
    const port = await freePort();
    writeFileSync(join(dir, "htpasswd"), HTPASSWD);
    const config = {
      version: 0.1,
      log: { level: "info" },
      storage: {
        filesystem: { rootdirectory: join(dir, "data") },
        delete: { enabled: true },
        redirect: { disable: true },
      },
      http: { addr: `127.0.0.1:${port}`, ...(options.headers && { headers: options.headers }) },
      ...(options.auth === true && { auth: { htpasswd: { realm: "test", path: join(dir, "htpasswd") } } }),
      ...(options.upstream !== undefined && { proxy: { remoteurl: options.upstream.origin, ...TEST_USER } }),
    };
    writeFileSync(join(dir, "config.yml"), JSON.stringify(config));
    const registry = new Distribution(port, dir, binary);
    cleanup.add(() => registry.stop());
    await registry.run();
    return registry;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** One line per request so far. */
  get requests(): string[] {
    return readFileSync(join(this.#dir, "access.log"), "utf8")
      .split("\n")
      .filter((line) => line.includes(" HTTP/"));
  }

  async run(): Promise<void> {
    const child = spawn(this.#binary, ["serve", join(this.#dir, "config.yml")], {
      env: { OTEL_TRACES_EXPORTER: "none" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#process = child;
    const append = (name: string) => (chunk: Buffer) => writeFileSync(join(this.#dir, name), chunk, { flag: "a" });
    writeFileSync(join(this.#dir, "access.log"), "", { flag: "a" });
    child.stdout.on("data", append("access.log"));
    child.stderr.on("data", append("error.log"));
    await eventually("the registry answers", async () => {
      if (child.exitCode !== null)
        throw new Error(`registry ended: ${readFileSync(join(this.#dir, "error.log"), "utf8").slice(-2000)}`);
      return await fetch(`${this.origin}/v2/`).then(
        (answer) => answer.status === 200 || answer.status === 401,
        () => false,
      );
    });
  }

  async stop(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  }

  /** Uploads a blob (distribution specification, "Pushing blobs") and gives its digest. */
  async pushBlob(repository: string, content: Buffer, digest: string = digestOf(content)): Promise<string> {
    const started = await this.#send("POST", `/v2/${repository}/blobs/uploads/`);
    const url = new URL(started.headers.get("location") ?? "", this.origin);
    url.searchParams.set("digest", digest);
    await this.#send("PUT", `${url.pathname}${url.search}`, content, "application/octet-stream");
    return digest;
  }

  async pushManifest(repository: string, reference: string, manifest: object, type = OCI_MANIFEST): Promise<string> {
    const content = Buffer.from(JSON.stringify(manifest));
    await this.#send("PUT", `/v2/${repository}/manifests/${reference}`, content, type);
    return digestOf(content);
  }

  /** Pushes an image of one layer under `tag`. */
  async pushImage(
    repository: string,
    tag: string,
    layer: Buffer,
  ): Promise<{ digest: string; layer: string; config: string }> {
    const configContent = Buffer.from(
      JSON.stringify({ architecture: "amd64", os: "linux", config: {}, rootfs: { type: "layers", diff_ids: [] }, tag }),
    );
    const config = await this.pushBlob(repository, configContent);
    const layerDigest = await this.pushBlob(repository, layer);
    const digest = await this.pushManifest(repository, tag, {
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: config, size: configContent.length },
      layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: layerDigest, size: layer.length }],
    });
    return { digest, layer: layerDigest, config };
  }

  async #send(method: string, path: string, body?: Buffer, type?: string): Promise<Response> {
    const authorization = `Basic ${Buffer.from(`${TEST_USER.username}:${TEST_USER.password}`).toString("base64")}`;
    const answer = await fetch(`${this.origin}${path}`, {
      method,
      headers: { authorization, ...(type !== undefined && { "content-type": type }) },
      ...(body !== undefined && { body: new Uint8Array(body) }),
    });
    await answer.body?.cancel();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status}`);
    return answer;
  }
}

/** The gateway as a process. */
export class GatewayProcess {
  readonly origin: string;
  readonly status: string;
  readonly #child: ChildProcess;
  readonly #lines: string[];

  private constructor(child: ChildProcess, ports: { port: number; statusPort: number }, lines: string[]) {
    this.#child = child;
    this.origin = `http://127.0.0.1:${ports.port}`;
    this.status = `http://127.0.0.1:${ports.statusPort}`;
    this.#lines = lines;
  }

  static async start(cleanup: Cleanup, options: ChildOptions): Promise<GatewayProcess> {
    const child = fork(join(import.meta.dirname, "gateway-child.ts"), [JSON.stringify(options)], {
      stdio: ["ignore", "pipe", "inherit", "ipc"],
      execArgv: [],
    });
    cleanup.add(() => child.kill("SIGKILL"));
    const lines: string[] = [];
    let rest = "";
    child.stdout?.on("data", (chunk: Buffer) => {
      const parts = (rest + chunk.toString()).split("\n");
      rest = parts.pop() ?? "";
      lines.push(...parts);
    });
    const [ports] = (await once(child, "message")) as [{ port: number; statusPort: number }];
    return new GatewayProcess(child, ports, lines);
  }

  /** Replaces the rules; resolves when they are served. */
  async setRules(rules: readonly CacheRuleView[]): Promise<void> {
    this.#child.send(rules as CacheRuleView[]);
    await once(this.#child, "message");
  }

  /** Log entries with this message, so far. */
  logged(message: string): Record<string, unknown>[] {
    return this.#lines
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter((entry) => entry["msg"] === message);
  }

  async metrics(): Promise<string> {
    return await (await fetch(`${this.status}/metrics`)).text();
  }

  /** Resident memory in MiB. */
  get rss(): number {
    const pages = /VmRSS:\s+([0-9]+) kB/.exec(readFileSync(`/proc/${this.#child.pid}/status`, "utf8"))?.[1];
    return Number(pages) / 1024;
  }

  async get(
    path: string,
    init: RequestInit = {},
  ): Promise<{ status: number; headers: Headers; body: Buffer; errors: { code: string; message: string }[] }> {
    const answer = await fetch(`${this.origin}${path}`, { redirect: "manual", ...init });
    const body = Buffer.from(await answer.arrayBuffer());
    const parsed =
      answer.status >= 400 && body.length > 0
        ? (JSON.parse(body.toString()) as { errors: { code: string; message: string }[] })
        : undefined;
    return { status: answer.status, headers: answer.headers, body, errors: parsed?.errors ?? [] };
  }
}

export function digestOf(content: Buffer): string {
  return `sha256:${createHash("sha256").update(content).digest("hex")}`;
}

/** An accepted CacheRule of the registry `main`. */
export function acceptedRule(
  name: string,
  source: string,
  target: string,
  conditions: { type: string; status: string; message: string }[] = [],
): CacheRuleView {
  return {
    metadata: { name, uid: `uid-${name}`, generation: 1, creationTimestamp: "2026-01-01T00:00:00Z" },
    spec: { registryRef: { name: "main" }, source, target },
    status: { conditions: [{ type: "Accepted", status: "True", observedGeneration: 1 }, ...conditions] },
  };
}
