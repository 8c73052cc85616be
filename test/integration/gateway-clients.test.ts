import { expect } from "chai";
import { ContainerdPull } from "../support/containerd-pull.ts";
import { Crane } from "../support/crane.ts";
import { eventually } from "../support/kube.ts";
import { ARCHITECTURES, DOCKER, type MultiArch, OCI, pushMultiArch, pushReferrer } from "../support/multi-arch.ts";
import { Skopeo } from "../support/skopeo.ts";
import { acceptedRule, Cleanup, Distribution, digestOf, GatewayProcess } from "./gateway-harness.ts";

/** What of an image a client is to get: the index, each part's manifest, configuration and layer. */
function contentOf({ digest, parts }: MultiArch): string[] {
  return [digest, ...ARCHITECTURES.flatMap((name) => [parts[name].digest, parts[name].config, parts[name].layer])];
}

describe("Clients that pull through the gateway", () => {
  const cleanup = new Cleanup();
  const images: Record<string, MultiArch> = {};
  let upstream: Distribution;
  let gateway: GatewayProcess;
  let artifact: string;
  let crane: Crane;
  let skopeo: Skopeo | undefined;
  let containerd: ContainerdPull | undefined;
  const at = (suffix: string): string => `${new URL(gateway.origin).host}/hub/app${suffix}`;
  const image = (family: string): MultiArch => images[family] as MultiArch;

  before(async function () {
    this.timeout(0); // the first time on a machine distribution and crane are built
    crane = await Crane.create();
    cleanup.add(() => crane.dispose());
    skopeo = Skopeo.find();
    cleanup.add(() => skopeo?.dispose());
    containerd = await ContainerdPull.start();
    cleanup.add(() => containerd?.stop());
    upstream = await Distribution.start(cleanup, { auth: true });
    const cache = await Distribution.start(cleanup, { upstream });
    images["oci"] = await pushMultiArch(upstream, "acme/app", "oci", OCI);
    images["docker"] = await pushMultiArch(upstream, "acme/app", "docker", DOCKER);
    artifact = await pushReferrer(upstream, "acme/app", image("oci").digest);
    gateway = await GatewayProcess.start(cleanup, {
      registry: "main",
      origins: { "registry.local:5000": cache.origin },
    });
    await gateway.setRules([acceptedRule("apps", "registry.local:5000/acme/*", "hub/*")]);
  });
  after(() => cleanup.run());

  function pulls(): void {
    for (const family of ["oci", "docker"]) {
      for (const by of ["tag", "digest"]) {
        const suffix = (): string => (by === "tag" ? `:${family}` : `@${image(family).digest}`);

        it(`crane: ${family}, by ${by}`, async () => {
          const { digest, parts } = image(family);
          expect(await crane.run("digest", at(suffix()))).to.equal(digest);
          expect(digestOf(Buffer.from(await crane.run("manifest", at(suffix()))))).to.equal(digest);
          expect(await crane.run("validate", "--remote", at(suffix()))).to.include("PASS");
          for (const name of ARCHITECTURES) {
            expect(await crane.run("digest", `--platform=linux/${name}`, at(suffix()))).to.equal(parts[name].digest);
            const exported = await crane.run("export", `--platform=linux/${name}`, at(suffix()), "-");
            expect(exported).to.include(`acme/app:${family} for ${name}`);
          }
        });

        it(`skopeo: ${family}, by ${by}`, async function () {
          if (skopeo === undefined) return absent(this, "skopeo");
          const { digest } = image(family);
          expect(digestOf(Buffer.from(await skopeo.inspect(at(suffix()), "--raw")))).to.equal(digest);
          expect(digestOf(await skopeo.pull(at(suffix())))).to.equal(digest);
        });

        it(`containerd: ${family}, by ${by}`, async function () {
          if (containerd === undefined) return absent(this, "containerd, and root to run it,");
          await containerd.empty();
          const has = await containerd.fetch(at(suffix()));
          expect(has).to.include.members(contentOf(image(family)));
          for (const digest of contentOf(image(family))) expect(digestOf(containerd.read(digest))).to.equal(digest);
        });
      }
    }

    it("crane: what refers to an image, by the referrers tag", async () => {
      const tag = image("oci").digest.replace(":", "-");
      const index = JSON.parse(await crane.run("manifest", at(`:${tag}`))) as { manifests: { digest: string }[] };
      expect(index.manifests.map(({ digest }) => digest)).to.deep.equal([artifact]);
      const found = JSON.parse(await crane.run("manifest", at(`@${artifact}`))) as {
        subject: { digest: string };
        layers: { digest: string }[];
      };
      expect(found.subject.digest).to.equal(image("oci").digest);
      expect(await crane.run("blob", at(`@${found.layers[0]?.digest}`))).to.equal('{"name":"sbom"}');
    });

    it("skopeo: what refers to an image, by the referrers tag", async function () {
      if (skopeo === undefined) return absent(this, "skopeo");
      const raw = await skopeo.inspect(at(`@${artifact}`), "--raw");
      expect(digestOf(Buffer.from(raw))).to.equal(artifact);
    });

    it("crane and skopeo: the tags", async function () {
      expect((await crane.run("ls", at(""))).split("\n")).to.include.members(["docker", "oci"]);
      if (skopeo === undefined) return absent(this, "skopeo");
      const { RepoTags } = JSON.parse(await skopeo.inspect(at(":oci"))) as { RepoTags: string[] };
      expect(RepoTags).to.include.members(["docker", "oci"]);
    });

    it("every client: nothing that no rule names", async () => {
      const secret = `${new URL(gateway.origin).host}/acme/app:oci`;
      expect(await crane.fails("digest", secret)).to.include("NAME_UNKNOWN");
      if (containerd !== undefined) expect(await containerd.fails(secret)).to.include("not found");
      if (skopeo === undefined) return;
      const said = await skopeo.pull(secret).catch((error: Error) => error.message);
      expect(said).to.include("is not declared in this cache");
    });
  }

  describe("with the upstream there", pulls);

  it("crane: pushing and deleting are refused", async () => {
    for (const args of [
      ["tag", at(":oci"), "new"],
      ["copy", at(":oci"), at(":copy")],
      ["delete", at(":oci")],
    ])
      expect(await crane.fails(...args), args[0]).to.include("UNSUPPORTED");
  });

  describe("with the upstream switched off", () => {
    before(async () => {
      const blobs = [image("oci"), image("docker")].flatMap(({ parts }) =>
        ARCHITECTURES.flatMap((name) => [parts[name].config, parts[name].layer]),
      );
      for (const blob of blobs) {
        await eventually("the cache has stored every blob", async () => {
          const answer = await gateway.get(`/v2/hub/app/blobs/${blob}`, { headers: { range: "bytes=0-0" } });
          return answer.status === 206; // as it answers only from its own storage
        });
      }
      await upstream.stop();
    });

    pulls();
  });
});

function absent(context: Mocha.Context, what: string): void {
  console.log(`      skipped: this machine has no ${what} to pull with`);
  context.skip();
}
