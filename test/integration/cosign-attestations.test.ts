import { createHash } from "node:crypto";
import { expect } from "chai";
import type { AuthorityOutcome, EvaluationResult, KeyAuthority, RequiredAttestation } from "../../core/policy/types.ts";
import { ANONYMOUS } from "../../core/registry/keychain.ts";
import { Attester, TYPE } from "../support/attesting.ts";
import type { KeyPair } from "../support/cosign.ts";
import { getManifest, putManifest } from "../support/registry.ts";
import { type PushedImage, SigningBench } from "../support/signing.ts";
import { attestationsOf, keyAuthority, messageIn, scriptedEngine, verifierOf } from "../support/verifying.ts";

const OTHER = "https://example.com/other/v1";

function required(name: string, predicateType: string, source?: string): RequiredAttestation {
  return { name, predicateType, ...(source !== undefined && { evaluator: { language: "cue", source } }) };
}

/** Policies of these tests are words that the statement must contain. */
function contains(source: string, json: string): EvaluationResult {
  if (source === "out of time") return { kind: "undecided", message: "no time left" };
  return json.includes(source) ? { kind: "compliant" } : { kind: "rejected", message: `no ${source}` };
}

describe("attestations by the real cosign, in a real registry", function () {
  this.timeout(120_000); // cosign takes its time for a key's password
  let bench: SigningBench;
  let attester: Attester;
  let alice: KeyPair;
  let bob: KeyPair;

  before(async function () {
    this.timeout(0); // the first run on a machine builds cosign and the registry
    bench = await SigningBench.start();
    attester = new Attester(bench);
    ({ alice, bob } = bench);
  });

  after(() => bench?.stop());

  function check(
    image: PushedImage,
    attestations: readonly RequiredAttestation[],
    more: Partial<KeyAuthority> = {},
    engine = scriptedEngine(contains),
  ): Promise<AuthorityOutcome> {
    const authority = keyAuthority([alice.publicKey], { attestations, ...more });
    return verifierOf(bench.client(), engine)(image, authority, ANONYMOUS, AbortSignal.timeout(20_000));
  }

  const attest = (image: PushedImage, type: string, predicate: object, pair = alice) =>
    bench.cosign.attest(image.pinned, pair, type, predicate, "classic");

  it("match with their type as the policy writes it, the layer's digest, and an id; the signature is not needed", async () => {
    const image = await bench.image();
    await attest(image, TYPE, { passed: true });
    const [layer] = await attester.layers(image);
    const { signatures } = JSON.parse(layer?.bytes.toString() ?? "");
    const id = createHash("sha256").update(Buffer.from(signatures[0].sig, "base64")).digest("hex");
    expect(await check(image, [required("tests", TYPE)])).to.deep.equal({
      kind: "matched",
      match: { attestations: { tests: [{ id, predicateType: TYPE, digest: layer?.digest }] } },
    } satisfies object);
  });

  it("in a bundle have the digest of the bundle", async () => {
    const image = await bench.image();
    await bench.cosign.attest(image.pinned, alice, TYPE, { passed: true }, "bundle");
    const { repository } = image.reference;
    const index = JSON.parse(
      (await getManifest(bench.registry, repository, image.digest.replace(":", "-"))).toString(),
    );
    const manifest = JSON.parse((await getManifest(bench.registry, repository, index.manifests[0].digest)).toString());
    const facts = attestationsOf(await check(image, [required("tests", TYPE)]))["tests"];
    expect(facts?.map(({ digest }) => digest)).to.deep.equal([manifest.layers[0].digest]);
  });

  for (const [short, uri, predicate] of [
    ["custom", "https://cosign.sigstore.dev/attestation/v1", { passed: true }],
    ["vuln", "https://cosign.sigstore.dev/attestation/vuln/v1", { scanner: { uri: "x" } }],
    ["spdxjson", "https://spdx.dev/Document", { spdxVersion: "SPDX-2.3" }],
    ["cyclonedx", "https://cyclonedx.org/bom", { bomFormat: "CycloneDX" }],
  ] as const) {
    it(`of the type ${short} match by that name and by its URI`, async () => {
      const image = await bench.image();
      await attest(image, short, predicate);
      const facts = attestationsOf(await check(image, [required("short", short), required("long", uri)]));
      expect(facts["short"]?.map(({ predicateType }) => predicateType)).to.deep.equal([short]);
      expect(facts["long"]?.map(({ predicateType }) => predicateType)).to.deep.equal([uri]);
    });
  }

  it("that are missing, or by another's key: no matching attestations", async () => {
    const image = await bench.image("unattested");
    expect(await check(image, [required("tests", TYPE)])).to.deep.equal({
      kind: "failed",
      message: `no matching attestations: there are none in ${bench.registry.host}/unattested`,
    });
    await attest(image, TYPE, { passed: true }, bob);
    const outcome = await check(image, [required("tests", TYPE)]);
    expect(outcome.kind).to.equal("failed");
    expect(messageIn(outcome)).to.match(
      /^no matching attestations: sha256-.*\.att: not signed by this authority's key$/,
    );
    const both = await check(image, [required("tests", TYPE)], { keys: [alice.publicKey, bob.publicKey] });
    expect(both.kind).to.equal("matched");
  });

  it("of other types only: the message names the types that there are", async () => {
    const image = await bench.image();
    await attest(image, OTHER, {});
    await attest(image, "vuln", { scanner: { uri: "x" } });
    expect(await check(image, [required("tests", "custom")])).to.deep.equal({
      kind: "failed",
      message: `no matching attestations with type custom, checked the following predicateTypes: "https://cosign.sigstore.dev/attestation/vuln/v1,${OTHER}"`,
      verified: true,
    });
  });

  it("must all be there that the policy lists; the first that is not gives the message", async () => {
    const image = await bench.image();
    await attest(image, TYPE, { a: 1 });
    await attest(image, OTHER, { b: 1 });
    const all = await check(image, [required("one", TYPE), required("two", OTHER)]);
    expect(Object.keys(attestationsOf(all))).to.deep.equal(["one", "two"]);
    const outcome = await check(image, [required("one", TYPE), required("sbom", "spdx"), required("x", "vuln")]);
    expect(messageIn(outcome)).to.contain("no matching attestations with type spdx, checked");
  });

  it("of one type: one that satisfies the policy is enough, and only those that do are facts", async () => {
    const image = await bench.image();
    for (const word of ["apple", "pear", "apple pie"]) await attest(image, TYPE, { word });
    const count = async (word: string): Promise<number | undefined> =>
      attestationsOf(await check(image, [required("fruit", TYPE, word)]))["fruit"]?.length;
    expect([await count("pie"), await count("apple"), await count("word")]).to.deep.equal([1, 2, 3]);
    expect(await check(image, [required("fruit", TYPE, "plum")])).to.deep.equal({
      kind: "failed",
      message: "failed evaluating cue policy for fruit: no plum",
      verified: true,
    });
  });

  it("that cannot be evaluated: undecided, unless another satisfies the policy", async () => {
    const image = await bench.image();
    await attest(image, TYPE, { word: "apple" });
    const outcome = await check(image, [required("fruit", TYPE, "out of time")]);
    expect(outcome).to.deep.equal({
      kind: "undecided",
      message: "failed evaluating cue policy for fruit: no time left",
      verified: true,
    });
    await attest(image, TYPE, { word: "pear" });
    const halting = scriptedEngine((source, json) => contains(json.includes("pear") ? source : "out of time", json));
    expect((await check(image, [required("fruit", TYPE, "pear")], {}, halting)).kind).to.equal("matched");
  });

  it("are shown to the engine as they were signed, each once, and only those of the type", async () => {
    const image = await bench.image();
    await attest(image, "vuln", { scanner: { uri: "x" } });
    await attest(image, TYPE, { word: "apple" });
    await bench.cosign.attest(image.pinned, alice, OTHER, {}, "bundle");
    const engine = scriptedEngine(contains);
    const outcome = await check(image, [required("scan", "vuln", "scanner"), required("other", OTHER)], {}, engine);
    expect(outcome.kind, messageIn(outcome)).to.equal("matched");
    const [layer] = await attester.layers(image);
    const json = Buffer.from(JSON.parse(layer?.bytes.toString() ?? "").payload, "base64").toString();
    expect(engine.shown).to.deep.equal([
      {
        evaluator: { language: "cue", source: "scanner" },
        input: { kind: "statement", predicateType: "vuln", json },
      },
    ]);
  });

  it("may lie partly under the tag, partly in bundles", async () => {
    const image = await bench.image();
    await attest(image, TYPE, {});
    const both = [required("one", TYPE), required("two", OTHER)];
    expect((await check(image, both)).kind).to.equal("failed");
    await bench.cosign.attest(image.pinned, alice, OTHER, {}, "bundle");
    expect(Object.keys(attestationsOf(await check(image, both)))).to.deep.equal(["one", "two"]);
    expect(messageIn(await check(image, both, { bundlesOnly: true }))).to.contain(`with type ${TYPE}`);
  });

  it("in cosign's form that refer to the image (OCI 1.1) match; but not where bundles are asked for", async () => {
    for (const artifactType of ["application/vnd.in-toto+json", "application/vnd.dev.cosign.artifact.att.v1+json"]) {
      const image = await bench.image();
      await attest(image, TYPE, { passed: true });
      const layers = await attester.layers(image);
      await attester.tag(image);
      expect((await check(image, [required("tests", TYPE)])).kind).to.equal("failed");
      await attester.refer(image, layers, artifactType);
      expect((await check(image, [required("tests", TYPE)])).kind).to.equal("matched");
      expect((await check(image, [required("tests", TYPE)], { bundlesOnly: true })).kind).to.equal("failed");
    }
  });

  it("under a tag prefix, or in another repository, are found there and only there", async () => {
    const [image, other] = [await bench.image(), await bench.image()];
    await attest(image, TYPE, {});
    const tag = `${image.digest.replace(":", "-")}.att`;
    const { repository } = image.reference;
    await putManifest(bench.registry, repository, `r-${tag}`, await getManifest(bench.registry, repository, tag));
    const kind = async (what: PushedImage, source: object): Promise<string> =>
      (await check(what, [required("tests", TYPE)], { source: { pullSecrets: [], ...source } })).kind;
    expect(await kind(image, { tagPrefix: "r-" })).to.equal("matched");
    expect(await kind(image, { tagPrefix: "x-" })).to.equal("failed");
    expect(await kind(image, { repository: `${bench.registry.host}/${repository}` })).to.equal("matched");
    expect(await kind(image, { repository: `${bench.registry.host}/${other.reference.repository}` })).to.equal(
      "failed",
    );
  });
});
