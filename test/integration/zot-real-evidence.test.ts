import { expect } from "chai";
import { COSIGN_SIGNATURE_ARTIFACT } from "../../core/registry/media-types.ts";
import { Cosign, type SignatureForm } from "../support/cosign.ts";
import { pushTinyImage, putBlob, putManifest, startRegistry, type TestRegistry } from "../support/registry.ts";
import { ruleOf } from "./product-rendered-harness.ts";
import { OwnZot, requireZot } from "./zot-real-harness.ts";

const DOCKER = "application/vnd.docker.distribution.manifest.v2+json";
const FORMS = ["classic", "bundle", "referrer"] as const;
const NOTHING = { status: 404, digest: null };

async function pushDockerImage(upstream: TestRegistry, repository: string): Promise<string> {
  const bytes = Buffer.from("{}");
  const config = {
    mediaType: "application/vnd.docker.container.image.v1+json",
    digest: await putBlob(upstream, repository, bytes),
    size: bytes.length,
  };
  const manifest = { schemaVersion: 2, mediaType: DOCKER, config, layers: [] };
  return putManifest(upstream, repository, "v1", manifest, DOCKER);
}

describe("what a real zot brings along with an image", function () {
  this.timeout(120_000);
  let upstream: TestRegistry;
  let plain: OwnZot;
  let compatible: OwnZot;
  let cosign: Cosign;
  const digests = new Map<SignatureForm, string>();

  before(async function () {
    const program = requireZot(this);
    this.timeout(0);
    [upstream, cosign] = await Promise.all([startRegistry(), Cosign.create()]);
    const any = ruleOf("any", `${upstream.host}/team/*`, "any/*");
    plain = await OwnZot.create(program, [upstream]);
    compatible = await OwnZot.create(program, [upstream], { compat: ["docker2s2"] });
    const options = (zot: object) => ({ options: { zot } });
    await Promise.all([
      signAll(),
      plain.roll([any, ruleOf("signed", `${upstream.host}/team/*`, "signed/*", options({ onlySigned: true }))]),
      compatible.roll([any, ruleOf("kept", `${upstream.host}/team/*`, "kept/*", options({ preserveDigest: true }))]),
    ]);
  });

  after(async () => {
    await Promise.all([plain?.stop(), compatible?.stop(), upstream?.stop()]);
    cosign?.dispose();
  });

  async function signAll(): Promise<void> {
    const pair = await cosign.generateKeyPair("signer");
    const sign = async (form: SignatureForm) => {
      const digest = await pushTinyImage(upstream, `team/${form}`, "v1", form);
      await cosign.sign(`${upstream.host}/team/${form}@${digest}`, pair, form);
      digests.set(form, digest);
    };
    await Promise.all(FORMS.map(sign));
  }

  async function evidence(form: SignatureForm): Promise<string> {
    const digest = digests.get(form) ?? "";
    const path = form === "classic" ? `manifests/${digest.replace(":", "-")}.sig` : `referrers/${digest}`;
    const { status, body } = await plain.get(`any/${form}/${path}`);
    expect(status).to.equal(200);
    return body;
  }

  for (const form of ["classic", "bundle"] as const) {
    it(`is a signature (${form}), which cosign takes from it before the image itself was pulled`, async () => {
      const flags = ["--key", "signer.pub", "--insecure-ignore-tlog=true", `--new-bundle-format=${form === "bundle"}`];
      await cosign.run("verify", ...flags, `${plain.host}/any/${form}@${digests.get(form)}`);
    });
  }

  it("is what the referrers API lists of an upstream that has none, only its fallback tag", async () => {
    const kinds = async (form: SignatureForm) =>
      JSON.parse(await evidence(form)).manifests.map((one: { artifactType?: string }) => one.artifactType);
    expect(await kinds("referrer")).to.deep.equal([COSIGN_SIGNATURE_ARTIFACT]);
    expect(await kinds("bundle")).to.deep.equal(["application/vnd.dev.sigstore.bundle.v0.3+json"]);
  });

  it("is no image without a signature where the rule wants one, whatever form that has", async () => {
    const unsigned = await pushTinyImage(upstream, "team/unsigned", "v1");
    for (const reference of ["v1", unsigned])
      expect(await plain.manifest("signed/unsigned", reference)).to.deep.equal(NOTHING);
    for (const [form, digest] of digests)
      expect(await plain.manifest(`signed/${form}`, "v1"), form).to.deep.equal({ status: 200, digest });
  });

  it("is another manifest of a Docker image without compat, which the upstream's digest does not find", async () => {
    const digest = await pushDockerImage(upstream, "team/docker");
    const { status, digest: converted } = await plain.manifest("any/docker", "v1");
    expect(status).to.equal(200);
    expect(converted).not.to.equal(digest);
    expect(await plain.manifest("any/docker", digest)).to.deep.equal(NOTHING);
  });

  it("is a Docker image by its digest with compat, and with preserveDigest by its tag as well", async () => {
    const digest = await pushDockerImage(upstream, "team/docker");
    for (const [name, reference] of [
      ["any/docker", digest],
      ["kept/docker", digest],
      ["kept/docker", "v1"],
    ] as const)
      expect(await compatible.manifest(name, reference)).to.deep.equal({ status: 200, digest });
    expect(await compatible.manifest("any/docker", "v1"))
      .to.include({ status: 200 })
      .and.not.include({ digest });
  });

  it("is there without the upstream, once it was asked for", async () => {
    const before = await Promise.all(FORMS.map(evidence));
    await upstream.stop();
    for (const [index, form] of FORMS.entries()) expect(await evidence(form)).to.equal(before[index]);
  });
});
