import { expect } from "chai";
import { distributionConfig } from "../../core/cacheregistry/distribution.ts";
import { backendName } from "../../core/cacheregistry/names.ts";
import { objectStorageDriver } from "../../core/cacheregistry/storage.ts";
import type { InClusterSpec, StorageCredentials, Upstream } from "../../core/cacheregistry/types.ts";
import { eventually } from "../support/kube.ts";
import { requireBuckets, type TestBucketServer } from "../support/moto.ts";
import { ProxyStage, pull, pushImage, rendered as renderedFor, stop } from "./cache-storage-harness.ts";

const CREDENTIALS: StorageCredentials = {
  kind: "s3",
  accessKeyId: "AKIAEXAMPLE",
  secretAccessKey: "example/secret+key",
};
const BUCKET = "cached";

describe("the cache on S3 (moto)", function () {
  this.timeout(120_000);
  let buckets: TestBucketServer;
  let stage: ProxyStage;

  before(async function () {
    this.timeout(0);
    buckets = await requireBuckets(this);
    await buckets.createBucket(BUCKET);
    stage = await ProxyStage.open();
  });

  afterEach(() => stage?.clear());

  after(async () => {
    await buckets?.stop();
    stage?.remove();
  });

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

  const rendered = (proxied: Upstream, settings: InClusterSpec = spec()): string =>
    renderedFor(settings, proxied, CREDENTIALS);

  it("is served by every replica, whichever of them fetched it, and outlives them", async () => {
    const { registry, proxied } = await stage.upstream();
    const image = await pushImage(registry);
    const [one, two] = [await stage.start(rendered(proxied)), await stage.start(rendered(proxied))];
    await pull(one, image);
    await stage.stopUpstream(registry); // from here on there is only the bucket
    await pull(two, image);
    await Promise.all([stop(one.child), stop(two.child)]);
  });

  it("serves what it has after a restart, with both replicas killed under it", async () => {
    const { registry, proxied } = await stage.upstream();
    const image = await pushImage(registry);
    const replicas = [await stage.start(rendered(proxied)), await stage.start(rendered(proxied))];
    for (const replica of replicas) await pull(replica, image);
    for (const { child } of replicas) {
      const exit = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGKILL");
      await exit;
    }
    const before = registry.newRequests().length;
    expect(before).to.be.greaterThan(0);
    await pull(await stage.start(rendered(proxied)), image);
    const blobs = registry.newRequests().filter(({ path }) => path.includes("/blobs/"));
    expect(blobs, "blobs come from the bucket").to.deep.equal([]);
  });

  it("keeps each upstream below its own folder", async () => {
    const [a, b] = [await stage.upstream(), await stage.upstream()];
    const [imageA, imageB] = [await pushImage(a.registry), await pushImage(b.registry)];
    await pull(await stage.start(rendered(a.proxied)), imageA);
    await pull(await stage.start(rendered(b.proxied)), imageB);
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
    const { registry, proxied } = await stage.upstream();
    const image = await pushImage(registry);
    const settings: InClusterSpec = { ...spec(), ttl: "6s" };
    const [one, two] = [await stage.start(rendered(proxied, settings)), await stage.start(rendered(proxied, settings))];
    await pull(one, image);
    await pull(two, image); // knows the blobs now
    await expired(image);
    await pull(two, image);
  });

  it("would not with a descriptor cache in memory: negative control", async () => {
    const { registry, proxied } = await stage.upstream();
    const image = await pushImage(registry);
    const driver = objectStorageDriver(spec().storage, backendName("main", proxied.host), CREDENTIALS);
    const config = distributionConfig(proxied, { ttl: "6s", ...(driver && { driver }), shared: false });
    const [one, two] = [await stage.start(config), await stage.start(config)];
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
