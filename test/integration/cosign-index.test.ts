import { expect } from "chai";
import type { Digest, ImageReference } from "../../core/image/reference.ts";
import { parseReference } from "../../core/image/reference.ts";
import type { VerifyAuthority } from "../../core/policy/types.ts";
import { ANONYMOUS } from "../../core/registry/keychain.ts";
import { OCI_INDEX, OCI_MANIFEST } from "../../core/registry/media-types.ts";
import { getManifest, pushTinyImage, putManifest } from "../support/registry.ts";
import { SigningBench } from "../support/signing.ts";
import { keyAuthority, verifierOf } from "../support/verifying.ts";

describe("an image for several platforms, signed by the real cosign", function () {
  this.timeout(120_000);
  let bench: SigningBench;
  let verify: VerifyAuthority;

  before(async function () {
    this.timeout(0); // the first run on a machine builds cosign and the registry
    bench = await SigningBench.start();
    verify = verifierOf(bench.client());
  });

  after(() => bench?.stop());

  /** Pushes an index of two images; gives its digest and theirs. */
  async function index(
    repository: string,
  ): Promise<{ readonly digest: Digest; readonly platforms: readonly Digest[] }> {
    const platforms = await Promise.all(
      ["amd64", "arm64"].map((architecture) => pushTinyImage(bench.registry, repository, architecture)),
    );
    const manifests = await Promise.all(
      ["amd64", "arm64"].map(async (architecture, at) => ({
        mediaType: OCI_MANIFEST,
        digest: platforms[at],
        size: (await getManifest(bench.registry, repository, architecture)).length,
        platform: { os: "linux", architecture },
      })),
    );
    const content = { schemaVersion: 2, mediaType: OCI_INDEX, manifests };
    return { digest: await putManifest(bench.registry, repository, "v1", content, OCI_INDEX), platforms };
  }

  async function verdicts(repository: string, digests: readonly Digest[]): Promise<readonly string[]> {
    const reference: ImageReference = parseReference(`${bench.registry.host}/${repository}`);
    const signal = AbortSignal.timeout(20_000);
    return await Promise.all(
      digests.map(async (digest) => {
        const image = { reference, digest };
        return (await verify(image, keyAuthority([bench.alice.publicKey]), ANONYMOUS, signal)).kind;
      }),
    );
  }

  it("holds for the index that was signed, and for none of its platforms' images by their own digests", async () => {
    const { digest, platforms } = await index("only-index");
    await bench.cosign.sign(`${bench.registry.host}/only-index@${digest}`, bench.alice, "classic");
    expect(await verdicts("only-index", [digest, ...platforms])).to.deep.equal(["matched", "failed", "failed"]);
  });

  it("holds for one platform's image that was signed, not for the index that has it", async () => {
    const { digest, platforms } = await index("only-platform");
    const [amd64] = platforms;
    await bench.cosign.sign(`${bench.registry.host}/only-platform@${amd64}`, bench.alice, "classic");
    expect(await verdicts("only-platform", [digest, ...platforms])).to.deep.equal(["failed", "matched", "failed"]);
  });
});
