import { expect } from "chai";
import { createRegistryClient, type RegistryClient } from "../../adapters/registry/client.ts";
import { createConfigFiles } from "../../adapters/sigstore/configfiles.ts";
import { type Digest, parseReference } from "../../core/image/reference.ts";
import { ANONYMOUS } from "../../core/registry/keychain.ts";
import { OCI_INDEX, OCI_MANIFEST } from "../../core/registry/media-types.ts";
import { body, type FakeRegistry, startFakeRegistry } from "../support/fake-registry.ts";
import { putBlob, putManifest, sha256, startRegistry, type TestRegistry } from "../support/registry.ts";

const REPOSITORY = "app";
const within = (): AbortSignal => AbortSignal.timeout(10_000);

describe("an image's configurations", () => {
  let registry: TestRegistry;
  let client: RegistryClient;
  let serial = 0;

  before(async function () {
    this.timeout(0); // the first run on a machine builds the registry
    registry = await startRegistry();
    client = createRegistryClient();
  });

  after(async () => {
    await client?.close();
    await registry?.stop();
  });

  interface Child {
    readonly digest: Digest;
    readonly platform?: object;
    readonly annotations?: object;
  }

  async function image(config: object): Promise<Digest> {
    const bytes = Buffer.from(JSON.stringify(config));
    const descriptor = { mediaType: "application/vnd.oci.image.config.v1+json", size: bytes.length };
    const stored = { ...descriptor, digest: await putBlob(registry, REPOSITORY, bytes) };
    const manifest = { schemaVersion: 2, mediaType: OCI_MANIFEST, config: stored, layers: [] };
    return putManifest(registry, REPOSITORY, `t${++serial}`, manifest);
  }

  const platform = (os: string, architecture: string, more: object = {}): object => ({ os, architecture, ...more });

  async function index(...children: readonly Child[]): Promise<Digest> {
    const manifests = children.map((child) => ({ mediaType: OCI_MANIFEST, size: 1, ...child }));
    const manifest = { schemaVersion: 2, mediaType: OCI_INDEX, manifests };
    return putManifest(registry, REPOSITORY, `t${++serial}`, manifest, OCI_INDEX);
  }

  const text = (digest: Digest): Promise<string> => {
    const reference = parseReference(`${registry.host}/${REPOSITORY}@${digest}`);
    return createConfigFiles(client)({ reference, digest }, ANONYMOUS, within());
  };

  /** The users of the configurations by platform. */
  async function users(digest: Digest): Promise<Record<string, unknown>> {
    const configs = Object.entries(JSON.parse(await text(digest)) as Record<string, { config: { User?: string } }>);
    return Object.fromEntries(configs.map(([name, { config }]) => [name, config.User]));
  }

  const config = (os: string, architecture: string, user: string, more: object = {}): object => ({
    ...platform(os, architecture, more),
    config: { User: user },
    rootfs: { type: "layers", diff_ids: [] },
  });

  it("of a single image go by the configuration's own platform, in policy-controller's form", async () => {
    const digest = await image({ ...config("linux", "arm", "nobody", { variant: "v7" }), mystery: 1, author: "" });
    expect(JSON.parse(await text(digest))).to.deep.equal({
      "linux/arm/v7": {
        architecture: "arm",
        variant: "v7",
        created: "0001-01-01T00:00:00Z",
        os: "linux",
        rootfs: { type: "layers", diff_ids: [] },
        config: { User: "nobody" },
      },
    });
  });

  it("of an index, and of indexes within it, are all there, sorted; BuildKit's attestations are not", async () => {
    const [amd, arm, windows] = [
      await image(config("linux", "amd64", "a")),
      await image(config("linux", "arm64", "b")),
      await image(config("windows", "amd64", "c", { "os.version": "10.0.1" })),
    ];
    const attestation = await image({ os: "unknown", architecture: "unknown" });
    const inner = await index({ digest: windows, platform: platform("windows", "amd64", { "os.version": "10.0.1" }) });
    const outer = await index(
      { digest: inner },
      { digest: arm, platform: platform("linux", "arm64", { variant: "v8" }) },
      { digest: amd, platform: platform("linux", "amd64") },
      {
        digest: attestation,
        platform: platform("unknown", "unknown"),
        annotations: { "vnd.docker.reference.type": "attestation-manifest" },
      },
    );
    expect(Object.entries(await users(outer))).to.deep.equal([
      ["linux/amd64", "a"],
      ["linux/arm64", "b"],
      ["windows/amd64:10.0.1", "c"],
    ]);
  });

  it("cannot be hidden: an image that a node may run goes by the index's name for it too", async () => {
    const disguised = await image(config("linux", "s390x", "root"));
    const honest = await image(config("linux", "amd64", "nobody"));
    expect(await users(await index({ digest: disguised, platform: platform("linux", "amd64") }))).to.deep.equal({
      "linux/amd64": "root",
      "linux/s390x": "root",
    });
    const annotated = { digest: honest, annotations: { "vnd.docker.reference.type": "attestation-manifest" } };
    expect(await users(await index(annotated))).to.deep.equal({ "linux/amd64": "nobody" });
  });

  it("that claim the same platform go by the index's name, or are refused", async () => {
    const [six, seven] = [await image(config("linux", "arm", "a")), await image(config("linux", "arm", "b"))];
    const both = await index(
      { digest: six, platform: platform("linux", "arm", { variant: "v6" }) },
      { digest: seven, platform: platform("linux", "arm", { variant: "v7" }) },
    );
    expect(await users(both)).to.deep.equal({ "linux/arm": "a", "linux/arm/v7": "b" });
    const same = await index(
      { digest: six, platform: platform("linux", "arm") },
      { digest: seven, platform: platform("linux", "arm") },
    );
    expect(await failure(text(same))).to.contain("two images for the platform linux/arm");
    const twice = await index({ digest: six, platform: platform("linux", "arm") }, { digest: six });
    expect(await users(twice)).to.deep.equal({ "linux/arm": "a" });
  });

  it("that are not there: an error that names the repository", async () => {
    expect(await failure(text(sha256(Buffer.from("nothing"))))).to.contain(`${registry.host}/${REPOSITORY}`);
  });

  describe("in a hostile registry", () => {
    let fake: FakeRegistry;

    afterEach(() => fake.stop());

    /** Asks for an image whose manifest is `manifest`, in a registry that has these manifests and blobs besides. */
    async function ask(manifest: object, others: readonly Buffer[] = []): Promise<{ said: string; asked: number }> {
      const contents = new Map([Buffer.from(JSON.stringify(manifest)), ...others].map((one) => [sha256(one), one]));
      fake = await startFakeRegistry((request, response) => {
        const content = contents.get(`sha256:${request.url?.split("sha256:")[1] ?? ""}`);
        body(content === undefined ? 404 : 200, content ?? "")(request, response);
      });
      const digest = sha256(Buffer.from(JSON.stringify(manifest)));
      const reference = parseReference(`${fake.host}/${REPOSITORY}@${digest}`);
      const said = await failure(createConfigFiles(client)({ reference, digest }, ANONYMOUS, within()));
      return { said, asked: fake.requests.length };
    }

    const descriptor = (bytes: Buffer, size = bytes.length): object => ({
      mediaType: "x/y",
      digest: sha256(bytes),
      size,
    });
    const small = Buffer.from("{}");

    it("what is both an image and an index is refused", async () => {
      const { said } = await ask({ schemaVersion: 2, config: descriptor(small), manifests: [] });
      expect(said).to.contain("neither an image's nor an index");
    });

    it("a configuration of more than 1 MiB is not fetched", async () => {
      const { said, asked } = await ask({ schemaVersion: 2, config: descriptor(small, 2 ** 20 + 1) }, [small]);
      expect([said.includes("more than 1048576"), asked]).to.deep.equal([true, 1]);
    });

    it("a configuration that is no JSON object is refused", async () => {
      const words = Buffer.from('"hello"');
      expect((await ask({ schemaVersion: 2, config: descriptor(words) }, [words])).said).to.contain("no JSON object");
    });

    it("an index without end is not read to the end, nor one of ten thousand", async () => {
      const images = Array.from({ length: 200 }, (_, i) =>
        Buffer.from(JSON.stringify({ schemaVersion: 2, config: descriptor(small), i })),
      );
      const manifests = images.map((one) => descriptor(one));
      const { said, asked } = await ask({ schemaVersion: 2, manifests }, images);
      expect(said).to.contain("more than 128 manifests");
      expect(asked).to.be.below(132);
    });

    it("indexes nested deeper than four are refused", async () => {
      const nested: Buffer[] = [Buffer.from(JSON.stringify({ schemaVersion: 2, config: descriptor(small) }))];
      for (let i = 0; i < 5; i++)
        nested.unshift(Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [descriptor(nested[0] ?? small)] })));
      const [outermost = small, ...others] = nested;
      expect((await ask(JSON.parse(outermost.toString()) as object, others)).said).to.contain("nested deeper");
    });
  });
});

async function failure(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "no error",
    (thrown: unknown) => (thrown instanceof Error ? thrown.message : String(thrown)),
  );
}
