import { createHash } from "node:crypto";
import { expect } from "chai";
import type { AuthorityOutcome, HashAlgorithm, KeyAuthority, VerifyAuthority } from "../../core/policy/types.ts";
import { ANONYMOUS } from "../../core/registry/keychain.ts";
import type { KeyPair, SignatureForm } from "../support/cosign.ts";
import { getManifest, putManifest } from "../support/registry.ts";
import { type PushedImage, SigningBench } from "../support/signing.ts";
import { keyAuthority, messageIn, signaturesOf, verifierOf } from "../support/verifying.ts";

const within = (): AbortSignal => AbortSignal.timeout(20_000);

describe("signatures by the real cosign, in a real registry", function () {
  this.timeout(120_000); // cosign takes its time for a key's password
  let bench: SigningBench;
  let verify: VerifyAuthority;
  let alice: KeyPair;
  let bob: KeyPair;

  before(async function () {
    this.timeout(0); // the first run on a machine builds cosign and the registry
    bench = await SigningBench.start();
    ({ alice, bob } = bench);
  });

  beforeEach(() => {
    verify = verifierOf(bench.client());
  });

  after(() => bench?.stop());

  const check = (what: PushedImage, keys: readonly string[], more: Partial<KeyAuthority> = {}) =>
    verify(what, keyAuthority(keys, more), ANONYMOUS, within());

  const forms: readonly SignatureForm[] = ["classic", "bundle", "referrer"];
  for (const form of forms) {
    describe(`stored as ${form}`, () => {
      it("match with the signer's key, or with it among others; not with another's", async () => {
        const signed = await bench.image();
        await bench.cosign.sign(signed.pinned, alice, form);
        const own = await check(signed, [alice.publicKey]);
        expect(own.kind, JSON.stringify(own)).to.equal("matched");
        expect(await check(signed, [bob.publicKey, alice.publicKey])).to.deep.equal(own);
        const other = await check(signed, [bob.publicKey]);
        expect(other.kind).to.equal("failed");
        expect(messageIn(other)).to.match(/^no matching signatures: .*not signed by this authority's key/);
      });

      it("of several signers each match with their own key, and both with both keys", async () => {
        const signed = await bench.image();
        await bench.cosign.sign(signed.pinned, alice, form);
        await bench.cosign.sign(signed.pinned, bob, form);
        const [own, other, both] = await Promise.all(
          [[alice], [bob], [alice, bob]].map(async (pairs) => {
            const outcome = await check(
              signed,
              pairs.map(({ publicKey }) => publicKey),
            );
            return signaturesOf(outcome).map(({ id }) => id);
          }),
        );
        expect([own?.length, other?.length]).to.deep.equal([1, 1]);
        expect(both).to.deep.equal([...(own ?? []), ...(other ?? [])].sort());
      });
    });
  }

  it("that are missing: no signatures found", async () => {
    const outcome = await check(await bench.image("unsigned"), [alice.publicKey]);
    expect(outcome).to.deep.equal({
      kind: "failed",
      message: `no signatures found in ${bench.registry.host}/unsigned`,
    });
  });

  it("have the id that policy-controller gives: the hash of the signature", async () => {
    const signed = await bench.image();
    await bench.cosign.sign(signed.pinned, alice, "classic");
    const tag = `${signed.digest.replace(":", "-")}.sig`;
    const manifest = JSON.parse((await getManifest(bench.registry, signed.reference.repository, tag)).toString());
    const signature = Buffer.from(manifest.layers[0].annotations["dev.cosignproject.cosign/signature"], "base64");
    const id = createHash("sha256").update(signature).digest("hex");
    expect(await check(signed, [alice.publicKey])).to.deep.equal({
      kind: "matched",
      match: { signatures: [{ id }] },
    } satisfies AuthorityOutcome);
  });

  it("with a hash algorithm that the policy does not allow: refused", async () => {
    const signed = await bench.image();
    await bench.cosign.sign(signed.pinned, alice, "classic");
    for (const hashAlgorithm of ["sha224", "sha384", "sha512"] as const satisfies readonly HashAlgorithm[]) {
      expect((await check(signed, [alice.publicKey], { hashAlgorithm })).kind).to.equal("failed");
    }
  });

  it("that must be bundles match as bundles, and in no other form", async () => {
    for (const form of forms) {
      const signed = await bench.image();
      await bench.cosign.sign(signed.pinned, alice, form);
      const outcome = await check(signed, [alice.publicKey], { bundlesOnly: true });
      expect(outcome.kind, form).to.equal(form === "bundle" ? "matched" : "failed");
      if (form !== "bundle") expect(messageIn(outcome)).to.contain("no signatures found");
    }
  });

  describe("kept elsewhere", () => {
    it("in another repository are found there and only there", async () => {
      const elsewhere = `${bench.registry.host}/signatures`;
      for (const form of ["classic", "bundle"] as const) {
        const signed = await bench.image();
        await bench.cosign.sign(signed.pinned, alice, form, elsewhere);
        expect((await check(signed, [alice.publicKey])).kind).to.equal("failed");
        const found = await check(signed, [alice.publicKey], { source: { pullSecrets: [], repository: elsewhere } });
        expect(found.kind, JSON.stringify(found)).to.equal("matched");
      }
    });

    it("under a tag prefix are found with it and only with it", async () => {
      const signed = await bench.image();
      await bench.cosign.sign(signed.pinned, alice, "classic");
      const { repository } = signed.reference;
      const tag = `${signed.digest.replace(":", "-")}.sig`;
      const other = await bench.image(repository);
      const prefix = { source: { pullSecrets: [], tagPrefix: "release-" } };
      expect((await check(signed, [alice.publicKey], prefix)).kind).to.equal("failed");
      const manifest = await getManifest(bench.registry, repository, tag);
      await putManifest(bench.registry, repository, `release-${tag}`, manifest);
      expect((await check(signed, [alice.publicKey], prefix)).kind).to.equal("matched");
      expect((await check(other, [alice.publicKey], prefix)).kind).to.equal("failed");
    });
  });

  it("are no attestations: an attested image is not a signed one, nor the other way round", async () => {
    const type = "https://example.com/predicate/v1";
    const required = { attestations: [{ name: "tests", predicateType: type }] };
    for (const form of ["classic", "bundle"] as const) {
      const image = await bench.image();
      await bench.cosign.attest(image.pinned, alice, type, { passed: true }, form);
      expect((await check(image, [alice.publicKey])).kind).to.equal("failed");
      const signed = await bench.image();
      await bench.cosign.sign(signed.pinned, alice, form);
      expect((await check(signed, [alice.publicKey])).kind).to.equal("matched");
      const outcome = await check(signed, [alice.publicKey], required);
      expect(messageIn(outcome)).to.contain("no matching attestations");
    }
  });
});
