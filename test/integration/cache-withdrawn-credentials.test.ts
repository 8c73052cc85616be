import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { DATA_DIRECTORY } from "../../core/cacheregistry/distribution.ts";
import type { InClusterSpec, StorageCredentials, Upstream } from "../../core/cacheregistry/types.ts";
import { PRIVATE_HEADER } from "../../core/gatewayaccess/names.ts";
import { OCI_MANIFEST } from "../../core/registry/media-types.ts";
import { requireBuckets, type TestBucketServer } from "../support/moto.ts";
import { type Image, ProxyStage, pull, pushImage, type RunningProxy, rendered, stop } from "./cache-storage-harness.ts";

const KEY: StorageCredentials = { kind: "s3", accessKeyId: "AKIAEXAMPLE", secretAccessKey: "example" };
const SPEC = { pullHost: "localhost:30500", ttl: "0s" };

/** What anybody gets from a proxy: the answers to a tag, the digest, both blobs, and the names that it lists. */
async function taken({ registry }: RunningProxy, { manifest, layer, config }: Image) {
  const paths = [`manifests/v1`, `manifests/${manifest}`, `blobs/${layer}`, `blobs/${config}`];
  const answers = await Promise.all(
    paths.map((path) =>
      fetch(`http://${registry.host}/v2/team/app/${path}`, { headers: { accept: OCI_MANIFEST } }).then(
        async (answer) => {
          await answer.arrayBuffer();
          return { path, status: answer.status, marked: answer.headers.has(PRIVATE_HEADER) };
        },
      ),
    ),
  );
  const catalog = (await (await fetch(`http://${registry.host}/v2/_catalog`)).json()) as { repositories: unknown };
  return { got: answers.filter(({ status }) => status === 200), names: catalog.repositories ?? [] };
}

describe("what was cached with credentials that are taken away", function () {
  this.timeout(120_000);
  let stage: ProxyStage;

  before(async function () {
    this.timeout(0);
    stage = await ProxyStage.open();
  });
  afterEach(() => stage.clear());
  after(() => stage?.remove());

  /** Pulls with credentials, takes them away, and gives them back: always the same storage, and the upstream goes on refusing anybody. */
  async function withdraw(config: (proxied: Upstream) => string): Promise<void> {
    const { registry, proxied } = await stage.upstream();
    const image = await pushImage(registry);
    const { credentials: _, ...open } = proxied;
    const before = await stage.start(config(proxied));
    await pull(before, image);
    const had = await taken(before, image);
    expect(had.got, "control: it is cached").to.have.lengthOf(4);
    expect(had.got.filter(({ marked }) => !marked)).to.deep.equal([]);
    expect(had.names).to.deep.equal(["team/app"]);
    await stop(before.child);
    const after = await stage.start(config(open));
    expect(await taken(after, image)).to.deep.equal({ got: [], names: [] });
    await stop(after.child);
    await pull(await stage.start(config(proxied)), image);
  }

  /** The configuration of a proxy on a volume, which is a folder here. */
  const onVolume = (proxied: Upstream, volume: string): string => {
    const spec: InClusterSpec = { ...SPEC, storage: { persistentVolumeClaim: { size: "1Gi" } } };
    return rendered(spec, proxied).replace(`"${DATA_DIRECTORY}`, `"${volume}`);
  };

  it("is given to nobody from a volume", async () => {
    const volume = mkdtempSync(join(stage.dir, "volume-"));
    await withdraw((proxied) => onVolume(proxied, volume));
  });

  it("is given to nobody from a volume that a version had which kept everything at its root", async () => {
    const volume = mkdtempSync(join(stage.dir, "volume-"));
    await withdraw((proxied) => {
      const config = onVolume(proxied, volume);
      return proxied.credentials === undefined ? config : config.replace(`"${volume}/private"`, `"${volume}"`);
    });
  });

  describe("in a bucket (moto)", () => {
    let buckets: TestBucketServer;

    before(async function () {
      this.timeout(0);
      buckets = await requireBuckets(this);
      await buckets.createBucket("cached");
    });
    after(() => buckets?.stop());

    it("is given to nobody", async () => {
      const { endpoint } = buckets;
      const s3 = {
        bucket: "cached",
        region: "us-east-1",
        endpoint,
        forcePathStyle: true,
        secretRef: { name: "store" },
      };
      await withdraw((proxied) => rendered({ ...SPEC, storage: { s3 } }, proxied, KEY));
    });
  });
});
