import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { CacheRegistryObject, CacheRuleObject } from "../../crds/index.ts";
import { freePort } from "../../hack/testcluster/controlplane.ts";
import { ZotRegistry } from "../../operator/providers/zot.ts";
import { RegistryDoors } from "../../operator/refresh/doors.ts";
import type { SecretObject } from "../../operator/resources.ts";
import { eventually } from "../support/kube.ts";
import { basicAuth, planOf, registryOf, SIGNAL, world } from "./product-rendered-harness.ts";
import type { ConfigMap } from "./product-zot-harness.ts";

const execute = promisify(execFile);

/** The executable of a zot that has the sync extension, as docs/providers/zot.md says; skips the running suite, by name, where there is none. Call it in `before`. */
export function requireZot(context: Mocha.Context): string {
  const program = process.env["ZOT"];
  if (program) return program;
  console.log("      skipped: ZOT does not name the executable of a zot (docs/providers/zot.md)");
  return context.skip();
}

/** What is asked of a registry over HTTP, as its answer came. */
export interface Answer {
  readonly status: number;
  readonly digest: string | null;
}

/** An upstream of a zot, over plain HTTP. */
export interface ZotUpstream {
  readonly host: string;
  readonly login?: { readonly username: string; readonly password: string };
}

/**
 * A real zot on loopback in its owner's hands: the operator's code renders what its Pod would mount, and a roll is a restart of the
 * process with that.
 */
export class OwnZot {
  readonly host: string;
  readonly registry: CacheRegistryObject;
  readonly #program: string;
  readonly #dir: string;
  readonly #made = world();
  readonly #product: ZotRegistry;
  #child: ChildProcess | undefined;

  private constructor(program: string, port: number, upstreams: readonly ZotUpstream[], more: object) {
    this.#program = program;
    this.host = `127.0.0.1:${port}`;
    this.#dir = mkdtempSync(join(tmpdir(), "entrepot-zot-"));
    mkdirSync(this.#path("mounted"));
    this.registry = registryOf({
      zot: {
        configMapRef: { name: "zot-config", key: "config.json" },
        workloadRef: { kind: "Deployment", name: "zot" },
        credentialsSecretName: "zot-upstreams",
        pullHost: this.host,
      },
      upstreams: upstreams.map(({ host, login }, index) => ({
        host,
        plainHTTP: true,
        ...(login && { credentials: { secretRef: { name: `login-${index}` } } }),
      })),
    });
    this.#product = new ZotRegistry(this.#made.context);
    this.#putObjects({
      distSpecVersion: "1.1.1",
      storage: { rootDirectory: this.#path("images") },
      http: { address: "127.0.0.1", port: String(port), ...more },
      log: { level: "debug" },
    });
    for (const [index, { login }] of upstreams.entries())
      if (login !== undefined) this.#made.kube.put(basicAuth(`login-${index}`, login.username, login.password));
  }

  /** A zot that does not run yet. `http` is what its owner says in that part of its configuration. */
  static async create(program: string, upstreams: readonly ZotUpstream[], http: object = {}): Promise<OwnZot> {
    return new OwnZot(program, await freePort(), upstreams, http);
  }

  #path(...parts: readonly string[]): string {
    return join(this.#dir, ...parts);
  }

  #putObjects(config: object): void {
    const data = { "config.json": JSON.stringify(config) };
    this.#made.kube.put({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "zot-config" }, data });
    const containers = [{ name: "zot", volumeMounts: [{ name: "upstreams", mountPath: this.#path("mounted") }] }];
    const volumes = [{ name: "upstreams", secret: { secretName: "zot-upstreams", optional: true } }];
    const spec = { replicas: 2, template: { spec: { containers, volumes } } };
    this.#made.kube.put({ apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "zot" }, spec });
    this.#made.kube.rollOut("zot");
  }

  /** Has the operator's code render the rules, and puts what it wrote where the container has it; the path of the configuration. */
  async render(rules: readonly CacheRuleObject[]): Promise<string> {
    const { kube, clock } = this.#made;
    await clock.advance(5_000); // later than what the last look is good for
    const { ready } = await this.#product.prepare(this.registry, planOf(this.registry, rules), SIGNAL);
    if (ready.done || ready.reason !== "Updating") throw new Error(`not rolled: ${JSON.stringify(ready)}`);
    kube.rollOut("zot");
    const file = this.#path("config.json");
    writeFileSync(file, kube.peek<ConfigMap>("ConfigMap", "zot-config")?.data?.["config.json"] ?? "");
    const secret = kube.peek<SecretObject>("Secret", "zot-upstreams")?.data ?? {};
    for (const [key, value] of Object.entries(secret)) writeFileSync(this.#path("mounted", key), atob(value));
    return file;
  }

  /** What `zot verify` says of a configuration; rejects if zot would not take it. */
  async verify(file: string): Promise<string> {
    const { stdout, stderr } = await execute(this.#program, ["verify", file], { timeout: 20_000 });
    return stdout + stderr;
  }

  /** Renders the rules and (re)starts zot with them, as the roll-out does. */
  async roll(rules: readonly CacheRuleObject[]): Promise<void> {
    const file = await this.render(rules);
    await this.halt();
    const log = openSync(this.#path("log"), "a");
    const child = spawn(this.#program, ["serve", file], { stdio: ["ignore", log, log], cwd: this.#dir });
    closeSync(log);
    this.#child = child;
    const kill = (): boolean => child.kill("SIGKILL");
    process.once("exit", kill);
    child.once("exit", () => process.off("exit", kill));
    await eventually("zot answers", async () => {
      if (child.exitCode !== null) throw new Error(`zot ended:\n${this.log().slice(-2_000)}`);
      return fetch(`http://${this.host}/v2/`).then(
        ({ ok }) => ok,
        () => false,
      );
    });
  }

  log(): string {
    return readFileSync(this.#path("log"), "utf8");
  }

  /** Asks for a path below `/v2/`, with every media type of manifests. */
  async get(path: string): Promise<Answer & { readonly body: string }> {
    const accept = ["application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"];
    const docker = ["v2+json", "list.v2+json"].map((one) => `application/vnd.docker.distribution.manifest.${one}`);
    const answer = await fetch(`http://${this.host}/v2/${path}`, {
      headers: { accept: [...accept, ...docker].join(", ") },
    });
    const { status, headers } = answer;
    return { status, digest: headers.get("docker-content-digest"), body: await answer.text() };
  }

  /** Asks for a manifest: its status, and its digest as zot names it. */
  async manifest(name: string, reference: string): Promise<Answer> {
    const { status, digest } = await this.get(`${name}/manifests/${reference}`);
    return { status, digest };
  }

  /** The way that the operator's refresh takes into this zot. */
  doors(): RegistryDoors {
    return new RegistryDoors({
      namespace: "cosign-system",
      secrets: { get: () => undefined },
      pullHost: (registry) => this.#product.pullHost(registry),
      gateway: () => Promise.reject(new Error("there is no gateway")),
      upstreamOf: () => ({ kind: "problem", message: "not asked here" }),
    });
  }

  /** Ends the process; what it stored stays. */
  async halt(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGTERM");
    await gone;
  }

  async stop(): Promise<void> {
    await this.halt();
    rmSync(this.#dir, { recursive: true, force: true });
  }
}
