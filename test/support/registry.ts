import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Digest } from "../../core/image/reference.ts";
import { OCI_MANIFEST } from "../../core/registry/media-types.ts";
import { freePort } from "../../hack/testcluster/controlplane.ts";
import { type AccessLogEntry, parseAccessLog, registryDaemon, TEST_USER } from "../../hack/testcluster/registry.ts";
import { settingsFrom } from "../../hack/testcluster/settings.ts";
import { ensureTool } from "../../hack/testcluster/tools.ts";

/** A real registry (CNCF distribution v3) on a free port of the loopback interface, plain HTTP, empty at first. */
export interface TestRegistry {
  readonly host: string;
  /** The user it asks for, if it was started with `auth`. */
  readonly user?: { readonly username: string; readonly password: string };
  /** What it has answered since the last call, oldest first. */
  newRequests(): readonly AccessLogEntry[];
  stop(): Promise<void>;
}

const START_MS = 60_000;
const ATTEMPTS = 5;

/** Waits until the registry listens itself, and not somebody else on its port, and answers. Gives false when it ended or took too long. */
async function answers(host: string, child: ChildProcess, log: string): Promise<boolean> {
  const end = performance.now() + START_MS;
  while (performance.now() < end && child.exitCode === null) {
    const listens = readFileSync(log, "utf8").includes("listening on");
    const ask = () => fetch(`http://${host}/v2/`, { signal: AbortSignal.timeout(10_000) }).catch(() => undefined);
    if (listens && (await ask()) !== undefined) return true;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return false;
}

interface Started {
  readonly host: string;
  readonly child: ChildProcess;
  /** The file of its access log. */
  readonly access: string;
}

/** Starts it on a free port, or on another one where somebody took that meanwhile. */
async function start(binary: string, dir: string, auth: boolean): Promise<Started> {
  for (let attempt = 1; ; attempt++) {
    const host = `127.0.0.1:${await freePort()}`;
    const daemon = registryDaemon(dir, binary, { name: "registry", listen: host, auth });
    const [program = binary, ...args] = daemon.argv;
    const access = daemon.stdout ?? daemon.log;
    const [out, err] = [openSync(access, "a"), openSync(daemon.log, "w")];
    const child = spawn(program, args, { env: { ...process.env, ...daemon.env }, stdio: ["ignore", out, err] });
    closeSync(out);
    closeSync(err);
    if (await answers(host, child, daemon.log)) return { host, child, access };
    await ended(child);
    const said = readFileSync(daemon.log, "utf8");
    if (attempt === ATTEMPTS || !said.includes("address already in use"))
      throw new Error(`the registry at ${host} did not start:\n${said.slice(-2_000)}`);
  }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  await exit;
}

/** Starts a registry; builds it first if this machine has none yet, so call it in `before` with `this.timeout(0)`. */
export async function startRegistry(options: { readonly auth?: boolean } = {}): Promise<TestRegistry> {
  const binary = await ensureTool(settingsFrom(process.env), "registry");
  const dir = mkdtempSync(join(tmpdir(), "entrepot-registry-"));
  for (const part of ["conf", "data", "logs"]) mkdirSync(join(dir, part));
  const { host, child, access } = await start(binary, dir, options.auth === true);
  let seen = parseAccessLog(readFileSync(access, "utf8")).length;
  return {
    host,
    ...(options.auth === true && { user: TEST_USER }),
    newRequests() {
      const fresh = parseAccessLog(readFileSync(access, "utf8")).slice(seen);
      seen += fresh.length;
      return fresh;
    },
    async stop() {
      await ended(child);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

export function sha256(bytes: Buffer): Digest {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

function authorization(registry: TestRegistry): Record<string, string> {
  if (registry.user === undefined) return {};
  const { username, password } = registry.user;
  return { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}` };
}

async function expectStatus(response: Response, want: number): Promise<Response> {
  if (response.status !== want)
    throw new Error(`${response.url} answered ${response.status}: ${await response.text()}`);
  return response;
}

/** Uploads a blob. */
export async function putBlob(registry: TestRegistry, repository: string, bytes: Buffer): Promise<Digest> {
  const headers = authorization(registry);
  const base = `http://${registry.host}/v2/${repository}/blobs/uploads/`;
  const started = await expectStatus(await fetch(base, { method: "POST", headers }), 202);
  const upload = new URL(started.headers.get("location") ?? "", base);
  upload.searchParams.set("digest", sha256(bytes));
  await expectStatus(await fetch(upload, { method: "PUT", headers, body: new Uint8Array(bytes) }), 201);
  return sha256(bytes);
}

/** Uploads a manifest under a tag (or its digest) as it is, byte for byte. */
export async function putManifest(
  registry: TestRegistry,
  repository: string,
  reference: string,
  manifest: object | Buffer,
  mediaType: string = OCI_MANIFEST,
): Promise<Digest> {
  const bytes = Buffer.isBuffer(manifest) ? manifest : Buffer.from(JSON.stringify(manifest));
  const headers = { ...authorization(registry), "content-type": mediaType };
  const url = `http://${registry.host}/v2/${repository}/manifests/${reference}`;
  await expectStatus(await fetch(url, { method: "PUT", headers, body: new Uint8Array(bytes) }), 201);
  return sha256(bytes);
}

/** Reads a manifest as it is. */
export async function getManifest(registry: TestRegistry, repository: string, reference: string): Promise<Buffer> {
  const headers = { ...authorization(registry), accept: `${OCI_MANIFEST}, application/vnd.oci.image.index.v1+json` };
  const response = await fetch(`http://${registry.host}/v2/${repository}/manifests/${reference}`, { headers });
  return Buffer.from(await (await expectStatus(response, 200)).arrayBuffer());
}

/** Reads a blob. */
export async function getBlob(registry: TestRegistry, repository: string, digest: string): Promise<Buffer> {
  const response = await fetch(`http://${registry.host}/v2/${repository}/blobs/${digest}`, {
    headers: authorization(registry),
  });
  return Buffer.from(await (await expectStatus(response, 200)).arrayBuffer());
}

/** Pushes the smallest image there is (no layers, never run) under a tag; `marker` gives it a digest of its own. */
export async function pushTinyImage(
  registry: TestRegistry,
  repository: string,
  tag: string,
  marker = tag,
): Promise<Digest> {
  const config = Buffer.from("{}");
  await putBlob(registry, repository, config);
  return putManifest(registry, repository, tag, {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: sha256(config), size: config.length },
    layers: [],
    annotations: { marker },
  });
}
