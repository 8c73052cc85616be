import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { desiredObjects } from "../../core/cacheregistry/desired.ts";
import type { InClusterSpec, StorageCredentials, Upstream } from "../../core/cacheregistry/types.ts";
import { freePort } from "../../hack/testcluster/controlplane.ts";
import { settingsFrom } from "../../hack/testcluster/settings.ts";
import { ensureTool } from "../../hack/testcluster/tools.ts";
import { eventually } from "../support/kube.ts";
import {
  getBlob,
  getManifest,
  putBlob,
  putManifest,
  sha256,
  startRegistry,
  type TestRegistry,
} from "../support/registry.ts";

const REGISTRY = { name: "main", uid: "11111111-2222-3333-4444-555555555555" };
const INSTALLATION = {
  namespace: "cosign-system",
  gatewayImage: "entrepot:dev",
  gatewayServiceAccount: "entrepot-gateway",
  distributionImage: "registry",
  logLevel: "info",
};

export interface RunningProxy {
  readonly registry: TestRegistry;
  readonly child: ChildProcess;
}

export interface Image {
  readonly manifest: string;
  readonly layer: string;
  readonly config: string;
}

/** The `config.yml` of an upstream's proxy, as the operator renders it. */
export function rendered(spec: InClusterSpec, proxied: Upstream, storageCredentials?: StorageCredentials): string {
  const inputs = storageCredentials && { storageCredentials };
  const objects = desiredObjects(REGISTRY, spec, [proxied], INSTALLATION, inputs);
  const secret = objects.find(({ kind }) => kind === "Secret")?.["data"] as Record<string, string>;
  return Buffer.from(secret["config.yml"] ?? "", "base64").toString("utf8");
}

/** An image with a layer of a megabyte, too large for what fits into a single read. */
export async function pushImage(registry: TestRegistry): Promise<Image> {
  const layer = randomBytes(1_000_000);
  const config = Buffer.from(JSON.stringify({ nonce: randomBytes(8).toString("hex") }));
  for (const blob of [layer, config]) await putBlob(registry, "team/app", blob);
  const describe = (bytes: Buffer, mediaType: string) => ({ mediaType, digest: sha256(bytes), size: bytes.length });
  const manifest = await putManifest(registry, "team/app", "v1", {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: describe(config, "application/vnd.oci.image.config.v1+json"),
    layers: [describe(layer, "application/vnd.oci.image.layer.v1.tar+gzip")],
  });
  return { manifest, layer: sha256(layer), config: sha256(config) };
}

/** Pulls everything as a client does: every byte is what its digest says. */
export async function pull({ registry }: RunningProxy, image: Image): Promise<void> {
  expect(sha256(await getManifest(registry, "team/app", "v1"))).to.equal(image.manifest);
  for (const digest of [image.layer, image.config])
    expect(sha256(await getBlob(registry, "team/app", digest))).to.equal(digest);
}

export async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  await exit;
}

/** Real upstreams that ask for a password, and real proxies in front of them. */
export class ProxyStage {
  /** Of this stage alone; it goes with it. */
  readonly dir = mkdtempSync(join(tmpdir(), "entrepot-storage-"));
  readonly #binary: string;
  readonly #children = new Set<ChildProcess>();
  readonly #upstreams = new Set<TestRegistry>();

  private constructor(binary: string) {
    this.#binary = binary;
  }

  /** Call it in `before` with `this.timeout(0)`. */
  static async open(): Promise<ProxyStage> {
    return new ProxyStage(await ensureTool(settingsFrom(process.env), "registry"));
  }

  async upstream(): Promise<{ registry: TestRegistry; proxied: Upstream }> {
    const registry = await startRegistry({ auth: true });
    this.#upstreams.add(registry);
    const proxied = { host: registry.host, plainHTTP: true, ...(registry.user && { credentials: registry.user }) };
    return { registry, proxied };
  }

  async stopUpstream(registry: TestRegistry): Promise<void> {
    await registry.stop();
    this.#upstreams.delete(registry);
  }

  /** Starts a distribution with that configuration; only the ports are others, the Pod's being taken. */
  async start(config: string): Promise<RunningProxy> {
    const [port, debug] = [await freePort(), await freePort()];
    const file = join(this.dir, `${port}.yml`);
    writeFileSync(
      file,
      config
        .replace('addr: ":5000"', `addr: "127.0.0.1:${port}"`)
        .replace('addr: ":5001"', `addr: "127.0.0.1:${debug}"`),
    );
    const log = openSync(`${file}.log`, "a");
    // Nothing of this machine's identity: the key in the configuration is all that it has.
    const child = spawn(this.#binary, ["serve", file], {
      env: { OTEL_TRACES_EXPORTER: "none" },
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    this.#children.add(child);
    const host = `127.0.0.1:${port}`;
    await eventually(`the proxy of ${file} answers`, () =>
      fetch(`http://${host}/v2/`).then(
        ({ ok }) => ok,
        () => false,
      ),
    ).catch((cause: unknown) => {
      throw new Error(`it did not start:\n${readFileSync(`${file}.log`, "utf8").slice(-2_000)}`, { cause });
    });
    return { child, registry: { host, newRequests: () => [], stop: () => stop(child) } };
  }

  /** Ends all that runs. */
  async clear(): Promise<void> {
    for (const child of this.#children) await stop(child);
    for (const upstream of this.#upstreams) await upstream.stop();
    this.#children.clear();
    this.#upstreams.clear();
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}
