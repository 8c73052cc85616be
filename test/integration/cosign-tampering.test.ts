import { sign } from "node:crypto";
import { expect } from "chai";
import type { Candidate } from "../../adapters/sigstore/candidate.ts";
import { classicCandidates, signedPayloads } from "../../adapters/sigstore/classic.ts";
import { preAuthEncoding } from "../../adapters/sigstore/envelope.ts";
import type { Digest } from "../../core/image/reference.ts";
import type { AuthorityOutcome } from "../../core/policy/types.ts";
import { parseManifest } from "../../core/registry/descriptor.ts";
import type { Cosign, KeyPair } from "../support/cosign.ts";
import { annotated, Forger, flipped, payloadFor, REPOSITORY, SIGNATURE } from "../support/forging.ts";
import { generatePem, type KeyKind } from "../support/keys.ts";
import { getBlob, getManifest, putManifest, type TestRegistry } from "../support/registry.ts";

describe("classic signatures that were tampered with", function () {
  this.timeout(120_000); // cosign takes its time for a key's password
  let forger: Forger;
  let registry: TestRegistry;
  let cosign: Cosign;
  let alice: KeyPair;

  before(async function () {
    this.timeout(0); // the first run on a machine builds cosign and the registry
    forger = await Forger.start();
    ({ registry, cosign, alice } = forger);
  });

  after(() => forger?.stop());

  const push = (): Promise<Digest> => forger.push();
  const signBy = (data: Buffer): Buffer => forger.sign(data);
  const verify = (digest: Digest, publicKey?: string): Promise<AuthorityOutcome> => forger.verify(digest, publicKey);
  const counts = (candidate: Candidate): Promise<boolean> => forger.counts(candidate);

  const putClassic: Forger["putClassic"] = (...layer) => forger.putClassic(...layer);

  describe("in classic form", () => {
    it("(as they are made here, untouched, they match)", async () => {
      const digest = await push();
      const payload = payloadFor(digest);
      await putClassic(digest, payload, annotated(signBy(payload)));
      expect((await verify(digest)).kind).to.equal("matched");
    });

    type Row = readonly [
      what: string,
      kind: AuthorityOutcome["kind"],
      words: string,
      make: (digest: Digest, other: Digest) => { payload: Buffer; signature: Buffer },
    ];
    const rows: readonly Row[] = [
      [
        "a flipped byte in the payload",
        "failed",
        "not signed by",
        (digest) => ({ payload: flipped(payloadFor(digest), 40), signature: signBy(payloadFor(digest)) }),
      ],
      [
        "a flipped byte in the signature",
        "failed",
        "not signed by",
        (digest) => ({ payload: payloadFor(digest), signature: flipped(signBy(payloadFor(digest)), 20) }),
      ],
      [
        "a truncated payload",
        "failed",
        "not signed by",
        (digest) => ({ payload: payloadFor(digest).subarray(0, -1), signature: signBy(payloadFor(digest)) }),
      ],
      [
        "a truncated signature",
        "failed",
        "not signed by",
        (digest) => ({ payload: payloadFor(digest), signature: signBy(payloadFor(digest)).subarray(0, -1) }),
      ],
      [
        "a claim about another image",
        "failed",
        "another image",
        (_digest, other) => ({ payload: payloadFor(other), signature: signBy(payloadFor(other)) }),
      ],
      [
        "a claim about the digest in capitals",
        "failed",
        "another image",
        (digest) => {
          const payload = payloadFor(digest.toUpperCase());
          return { payload, signature: signBy(payload) };
        },
      ],
      [
        "a claim of another type",
        "failed",
        "not of the type",
        (digest) => {
          const payload = payloadFor(digest, { type: "atomic container signature" });
          return { payload, signature: signBy(payload) };
        },
      ],
      [
        "a claim without an image",
        "failed",
        "another image",
        (digest) => {
          const payload = payloadFor(digest, { image: null });
          return { payload, signature: signBy(payload) };
        },
      ],
      [
        "signed bytes that are no claim",
        "failed",
        "no simple-signing",
        () => ({ payload: Buffer.from("hello"), signature: signBy(Buffer.from("hello")) }),
      ],
      [
        "a payload that is too large",
        "undecided",
        "more than",
        (digest) => {
          const payload = Buffer.concat([payloadFor(digest), Buffer.alloc(70_000, " ")]);
          return { payload, signature: signBy(payload) };
        },
      ],
      [
        "the signature of a bundle",
        "failed",
        "not signed by",
        (digest) => ({
          payload: payloadFor(digest),
          signature: signBy(preAuthEncoding("application/vnd.in-toto+json", payloadFor(digest))),
        }),
      ],
    ];
    for (const [what, kind, words, make] of rows) {
      it(`with ${what} do not match`, async () => {
        const digest = await push();
        const { payload, signature } = make(digest, await push());
        await putClassic(digest, payload, annotated(signature));
        const outcome = await verify(digest);
        expect(outcome.kind, JSON.stringify(outcome)).to.equal(kind);
        expect(outcome).to.have.property("message").that.contains(words);
      });
    }

    for (const [what, signature] of [
      ["no signature", ""],
      ["a signature that is no base64", "%%%"],
      ["base64 with something after it", `${Buffer.from("x").toString("base64")}\n`],
    ] as const) {
      it(`with ${what} are none`, async () => {
        const digest = await push();
        await putClassic(digest, payloadFor(digest), { [SIGNATURE]: signature });
        expect(await verify(digest))
          .to.have.property("message")
          .that.contains("no signatures found");
      });
    }

    it("copied over from another image, by the real cosign, do not match", async () => {
      const [signed, other] = [await push(), await push()];
      await cosign.sign(`${registry.host}/${REPOSITORY}@${signed}`, alice, "classic");
      expect((await verify(signed, alice.publicKey)).kind).to.equal("matched");
      const manifest = await getManifest(registry, REPOSITORY, `${signed.replace(":", "-")}.sig`);
      await putManifest(registry, REPOSITORY, `${other.replace(":", "-")}.sig`, manifest);
      const outcome = await verify(other, alice.publicKey);
      expect(outcome)
        .to.have.property("message")
        .that.contains("no matching signatures")
        .and.contains(`made for another image (${signed})`);
    });

    it("do not match with any single byte changed, of payload or signature", async () => {
      const digest = await push();
      await cosign.sign(`${registry.host}/${REPOSITORY}@${digest}`, alice, "classic");
      const manifest = parseManifest(
        (await getManifest(registry, REPOSITORY, `${digest.replace(":", "-")}.sig`)).toString(),
      );
      const [signed] = manifest === undefined ? [] : signedPayloads(manifest);
      if (signed === undefined) throw new Error("cosign stored no signature");
      const payload = await getBlob(registry, REPOSITORY, signed.blob.digest);
      const [candidate] = classicCandidates(signed.signatures, payload, "here", digest);
      if (candidate === undefined) throw new Error("cosign stored no signature");
      const matches = (signedBytes: Buffer, signature: Buffer) => counts({ ...candidate, signedBytes, signature });
      expect(await matches(payload, candidate.signature)).to.equal(true);
      for (let at = 0; at < payload.length; at++)
        expect(await matches(flipped(payload, at), candidate.signature)).to.equal(false);
      for (let at = 0; at < candidate.signature.length; at++)
        expect(await matches(payload, flipped(candidate.signature, at))).to.equal(false);
    });
  });

  describe("with keys of every kind", () => {
    for (const kind of ["P-256", "P-384", "P-521", "rsa", "rsa-pss", "ed25519"] as const satisfies readonly KeyKind[]) {
      it(`${kind}: the signature matches; a flipped bit, or another key, does not`, async () => {
        const digest = await push();
        const [pair, stranger] = [generatePem(kind), generatePem(kind)];
        const payload = payloadFor(digest);
        const signature = sign(kind === "ed25519" ? null : "sha256", payload, pair.signer);
        await putClassic(digest, payload, annotated(signature));
        expect((await verify(digest, pair.publicKey)).kind).to.equal("matched");
        expect((await verify(digest, stranger.publicKey)).kind).to.equal("failed");
        await putClassic(digest, payload, annotated(flipped(signature, 30)));
        expect((await verify(digest, pair.publicKey)).kind).to.equal("failed");
      });
    }

    it("a key that is none: undecided, with the reason", async () => {
      const digest = await push();
      await putClassic(digest, payloadFor(digest), annotated(signBy(payloadFor(digest))));
      const outcome = await verify(digest, "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n");
      expect(outcome.kind).to.equal("undecided");
      expect(outcome).to.have.property("message").that.contains("the authority cannot be used");
    });
  });
});
