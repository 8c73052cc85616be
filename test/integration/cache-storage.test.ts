import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { desiredObjects } from "../../core/cacheregistry/desired.ts";
import { distributionConfig } from "../../core/cacheregistry/distribution.ts";
import { backendName } from "../../core/cacheregistry/names.ts";
import { objectStorageDriver } from "../../core/cacheregistry/storage.ts";
import type { InClusterSpec, StorageCredentials, Upstream } from "../../core/cacheregistry/types.ts";
import { freePort } from "../../hack/testcluster/controlplane.ts";
import { settingsFrom } from "../../hack/testcluster/settings.ts";
import { ensureTool } from "../../hack/testcluster/tools.ts";
import { eventually } from "../support/kube.ts";
import { startBucketServer, type TestBucketServer } from "../support/moto.ts";
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
const CREDENTIALS: StorageCredentials = {
  kind: "s3",
  accessKeyId: "AKIAEXAMPLE",
  secretAccessKey: "example/secret+key",
};
const BUCKET = "cached";

interface Proxy {
  readonly registry: TestRegistry;
  readonly child: ChildProcess;
}

describe("the cache on S3 (moto)", function () {
  this.timeout(120_000);
  let buckets: TestBucketServer;
  let binary: string;
  let dir: string;
  const children = new Set<ChildProcess>();
  const upstreams = new Set<TestRegistry>();

  before(async function () {
    this.timeout(0);
    const started = await startBucketServer();
    if (started === undefined) {
      console.log("      skipped: no S3-compatible server here (python3 with pip, and the packages of moto)");
      this.skip();
    }
    buckets = started;
    await buckets.createBucket(BUCKET);
    binary = await ensureTool(settingsFrom(process.env), "registry");
    dir = mkdtempSync(join(tmpdir(), "entrepot-storage-"));
  });

  afterEach(async () => {
    for (const child of children) await stop(child);
    for (const upstream of upstreams) await upstream.stop();
    children.clear();
    upstreams.clear();
  });

  after(async () => {
    await buckets?.stop();
    if (dir !== undefined) rmSync(dir, { recursive: true, force: true });
  });

  async function stop(child: ChildProcess): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exit = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    await exit;
  }

  async function upstream(): Promise<{ registry: TestRegistry; proxied: Upstream }> {
    const registry = await startRegistry({ auth: true });
    upstreams.add(registry);
    const proxied = { host: registry.host, plainHTTP: true, ...(registry.user && { credentials: registry.user }) };
    return { registry, proxied };
  }

  /** An image with a layer of a megabyte, too large for what fits into a single read. */
  async function pushImage(registry: TestRegistry) {
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

  const spec = (): InClusterSpec => ({
    pullHost: "localhost:30500",
    storage: {
      s3: {
        bucket: BUCKET,
        region: "us-east-1",
        endpoint: buckets.endpoint,
        forcePathStyle: true,
        rootDirectory: "caches/test",
        secretRef: { name: "store" },
      },
    },
    proxy: { replicas: 2 },
  });

  /** As the operator renders it. */
  function rendered(proxied: Upstream, settings: InClusterSpec = spec()): string {
    const objects = desiredObjects(REGISTRY, settings, [proxied], INSTALLATION, { storageCredentials: CREDENTIALS });
    const secret = objects.find(({ kind }) => kind === "Secret")?.["data"] as Record<string, string>;
    return Buffer.from(secret["config.yml"] ?? "", "base64").toString("utf8");
  }

  /** Starts a distribution with that configuration; only the ports are others, the Pod's being taken. */
  async function start(config: string): Promise<Proxy> {
    const [port, debug] = [await freePort(), await freePort()];
    const file = join(dir, `${port}.yml`);
    writeFileSync(
      file,
      config
        .replace('addr: ":5000"', `addr: "127.0.0.1:${port}"`)
        .replace('addr: ":5001"', `addr: "127.0.0.1:${debug}"`),
    );
    const log = openSync(`${file}.log`, "a");
    // Nothing of this machine's identity: the key in the configuration is all that it has.
    const child = spawn(binary, ["serve", file], {
      env: { OTEL_TRACES_EXPORTER: "none" },
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    children.add(child);
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

  /** Pulls everything as a client does: every byte is what its digest says. */
  async function pull({ registry }: Proxy, image: { manifest: string; layer: string; config: string }): Promise<void> {
    expect(sha256(await getManifest(registry, "team/app", "v1"))).to.equal(image.manifest);
    for (const digest of [image.layer, image.config])
      expect(sha256(await getBlob(registry, "team/app", digest))).to.equal(digest);
  }

  it("is served by every replica, whichever of them fetched it, and outlives them", async () => {
    const { registry, proxied } = await upstream();
    const image = await pushImage(registry);
    const [one, two] = [await start(rendered(proxied)), await start(rendered(proxied))];
    await pull(one, image);
    await registry.stop(); // from here on there is only the bucket
    upstreams.delete(registry);
    await pull(two, image);
    await Promise.all([stop(one.child), stop(two.child)]);
  });

  it("serves what it has after a restart, with both replicas killed under it", async () => {
    const { registry, proxied } = await upstream();
    const image = await pushImage(registry);
    const replicas = [await start(rendered(proxied)), await start(rendered(proxied))];
    for (const replica of replicas) await pull(replica, image);
    for (const { child } of replicas) {
      const exit = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGKILL");
      await exit;
    }
    const before = registry.newRequests().length;
    expect(before).to.be.greaterThan(0);
    await pull(await start(rendered(proxied)), image);
    const blobs = registry.newRequests().filter(({ path }) => path.includes("/blobs/"));
    expect(blobs, "blobs come from the bucket").to.deep.equal([]);
  });

  it("keeps each upstream below its own folder", async () => {
    const [a, b] = [await upstream(), await upstream()];
    const [imageA, imageB] = [await pushImage(a.registry), await pushImage(b.registry)];
    await pull(await start(rendered(a.proxied)), imageA);
    await pull(await start(rendered(b.proxied)), imageB);
    const keys = await buckets.keys(BUCKET);
    expect(keys.filter((key) => !key.startsWith("caches/test/entrepot-cache-"))).to.deep.equal([]);
    for (const [{ proxied }, own, other] of [
      [a, imageA, imageB],
      [b, imageB, imageA],
    ] as const) {
      const below = keys
        .filter((key) => key.startsWith(`caches/test/${backendName("main", proxied.host)}/`))
        .join("\n");
      expect(below).to.contain(own.layer.slice("sha256:".length)).and.not.contain(other.layer.slice("sha256:".length));
    }
  });

  /** Waits until the bucket has neither the layer of an image nor its configuration. */
  async function expired({ layer, config }: { readonly layer: string; readonly config: string }): Promise<void> {
    const blobs = [layer, config].map((digest) => `/${digest.slice("sha256:".length)}/data`);
    await eventually("the content expires", async () => {
      const keys = await buckets.keys(BUCKET);
      return !keys.some((key) => blobs.some((blob) => key.endsWith(blob)));
    });
  }

  it("survives that one replica lets content expire which the other has served", async () => {
    const { registry, proxied } = await upstream();
    const image = await pushImage(registry);
    const settings: InClusterSpec = { ...spec(), ttl: "6s" };
    const [one, two] = [await start(rendered(proxied, settings)), await start(rendered(proxied, settings))];
    await pull(one, image);
    await pull(two, image); // knows the blobs now
    await expired(image);
    await pull(two, image);
  });

  it("would not with a descriptor cache in memory: negative control", async () => {
    const { registry, proxied } = await upstream();
    const image = await pushImage(registry);
    const driver = objectStorageDriver(spec().storage, backendName("main", proxied.host), CREDENTIALS);
    const config = distributionConfig(proxied, { ttl: "6s", ...(driver && { driver }), shared: false });
    const [one, two] = [await start(config), await start(config)];
    await pull(one, image);
    await pull(two, image);
    await expired(image);
    // It promises the layer that it remembers, and breaks off when there is nothing in the bucket: "unexpected EOF" at the client.
    const answer = await fetch(`http://${two.registry.host}/v2/team/app/blobs/${image.layer}`);
    expect(answer.headers.get("content-length")).to.equal("1000000");
    const read = await answer.arrayBuffer().then(
      () => "whole",
      () => "broken off",
    );
    expect(read).to.equal("broken off");
  });
});
