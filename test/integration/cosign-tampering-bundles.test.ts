import { expect } from "chai";
import { parseBundle, readBundle } from "../../adapters/sigstore/bundle.ts";
import type { Candidate } from "../../adapters/sigstore/candidate.ts";
import { preAuthEncoding } from "../../adapters/sigstore/envelope.ts";
import type { Digest } from "../../core/image/reference.ts";
import type { AuthorityOutcome } from "../../core/policy/types.ts";
import { parseManifest } from "../../core/registry/descriptor.ts";
import { OCI_INDEX } from "../../core/registry/media-types.ts";
import type { Cosign, KeyPair } from "../support/cosign.ts";
import { BUNDLE, envelope, Forger, flipped, REPOSITORY, statementFor } from "../support/forging.ts";
import { getBlob, getManifest, putManifest, type TestRegistry } from "../support/registry.ts";

describe("bundles that were tampered with", function () {
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

  const putBundle: Forger["putBundle"] = (...bundle) => forger.putBundle(...bundle);

  describe("in a bundle", () => {
    const TYPE = "application/vnd.in-toto+json";
    const signed = (statement: Buffer, type = TYPE) =>
      envelope(statement, [signBy(preAuthEncoding(type, statement))], type);

    it("(as they are made here, untouched, they match)", async () => {
      const digest = await push();
      await putBundle(digest, signed(statementFor(digest)));
      expect((await verify(digest)).kind).to.equal("matched");
    });

    for (const mediaType of [
      "application/vnd.dev.sigstore.bundle+json;version=0.1",
      "application/vnd.dev.sigstore.bundle+json;version=0.2",
      "application/vnd.dev.sigstore.bundle+json;version=0.3",
      BUNDLE,
    ]) {
      it(`(of the type ${mediaType} they match too)`, async () => {
        const digest = await push();
        await putBundle(digest, { ...signed(statementFor(digest)), mediaType }, mediaType);
        expect((await verify(digest)).kind).to.equal("matched");
      });
    }

    it("of a version that does not exist are none", async () => {
      const digest = await push();
      const mediaType = "application/vnd.dev.sigstore.bundle.v1.0+json";
      await putBundle(digest, { ...signed(statementFor(digest)), mediaType }, mediaType);
      expect((await verify(digest)).kind).to.equal("failed");
    });

    type Row = readonly [
      what: string,
      kind: AuthorityOutcome["kind"],
      words: string,
      make: (digest: Digest, other: Digest) => object | Buffer,
    ];
    const rows: readonly Row[] = [
      [
        "a flipped byte in the statement",
        "failed",
        "not signed by",
        (digest) =>
          envelope(flipped(statementFor(digest, { x: "aaaa" }), statementFor(digest, { x: "aaaa" }).length - 4), [
            signBy(preAuthEncoding(TYPE, statementFor(digest, { x: "aaaa" }))),
          ]),
      ],
      [
        "a flipped byte in the signature",
        "failed",
        "not signed by",
        (digest) => envelope(statementFor(digest), [flipped(signBy(preAuthEncoding(TYPE, statementFor(digest))), 20)]),
      ],
      ["a statement about another image", "failed", "another image", (_digest, other) => signed(statementFor(other))],
      [
        "a statement about no image",
        "failed",
        "another image",
        (digest) => signed(statementFor(digest, { subject: [] })),
      ],
      [
        "a statement with the digest of another algorithm",
        "failed",
        "another image",
        (digest) => signed(statementFor(digest, { subject: [{ digest: { sha512: digest.slice(7) } }] })),
      ],
      [
        "another payload type",
        "undecided",
        "payload is not of type",
        (digest) => signed(statementFor(digest), "text/plain"),
      ],
      [
        "another payload type than was signed",
        "failed",
        "not signed by",
        (digest) => envelope(statementFor(digest), [signBy(preAuthEncoding("text/plain", statementFor(digest)))]),
      ],
      [
        "a signature of the bare statement",
        "failed",
        "not signed by",
        (digest) => envelope(statementFor(digest), [signBy(statementFor(digest))]),
      ],
      [
        "two signatures",
        "undecided",
        "no Sigstore bundle",
        (digest) => {
          const one = signBy(preAuthEncoding(TYPE, statementFor(digest)));
          return envelope(statementFor(digest), [one, one]);
        },
      ],
      ["no signature", "undecided", "no Sigstore bundle", (digest) => envelope(statementFor(digest), [])],
      [
        "an unknown kind of statement",
        "undecided",
        "known version",
        (digest) => signed(statementFor(digest, { _type: "https://example.com/v1" })),
      ],
      [
        "a predicate that is no signature",
        "failed",
        "no signatures found",
        (digest) => signed(statementFor(digest, { predicateType: "https://slsa.dev/provenance/v1" })),
      ],
      ["no JSON", "undecided", "no Sigstore bundle", () => Buffer.from("hello")],
      [
        "truncated JSON",
        "undecided",
        "no Sigstore bundle",
        (digest) => Buffer.from(JSON.stringify(signed(statementFor(digest))).slice(0, -1)),
      ],
      [
        "more bytes than any signature has",
        "undecided",
        "more than",
        (digest) => signed(statementFor(digest, { predicate: { x: "x".repeat(300_000) } })),
      ],
    ];
    for (const [what, kind, words, make] of rows) {
      it(`with ${what} do not match`, async () => {
        const digest = await push();
        await putBundle(digest, make(digest, await push()));
        const outcome = await verify(digest);
        expect(outcome.kind, JSON.stringify(outcome)).to.equal(kind);
        expect(outcome).to.have.property("message").that.contains(words);
      });
    }

    it("with a message signature match if it is of the image's own manifest, and only then", async () => {
      const message = (digest: string, signature: Buffer) => ({
        mediaType: BUNDLE,
        verificationMaterial: { publicKey: { hint: "" } },
        messageSignature: {
          messageDigest: { algorithm: "SHA2_256", digest: Buffer.from(digest.slice(7), "hex").toString("base64") },
          signature: signature.toString("base64"),
        },
      });
      const [digest, other] = [await push(), await push()];
      const [manifest, foreign] = [
        await getManifest(registry, REPOSITORY, digest),
        await getManifest(registry, REPOSITORY, other),
      ];
      await putBundle(digest, message(digest, signBy(manifest)));
      expect((await verify(digest)).kind).to.equal("matched");
      await putBundle(digest, message(digest, signBy(foreign)));
      expect((await verify(digest)).kind).to.equal("failed");
      await putBundle(digest, message(other, signBy(manifest)));
      expect((await verify(digest)).kind).to.equal("failed");
    });

    it("copied over from another image, by the real cosign, do not match", async () => {
      const [one, other] = [await push(), await push()];
      await cosign.sign(`${registry.host}/${REPOSITORY}@${one}`, alice, "bundle");
      expect((await verify(one, alice.publicKey)).kind).to.equal("matched");
      await putManifest(
        registry,
        REPOSITORY,
        other.replace(":", "-"),
        await getManifest(registry, REPOSITORY, one.replace(":", "-")),
        OCI_INDEX,
      );
      expect(await verify(other, alice.publicKey))
        .to.have.property("message")
        .that.contains("made for another image");
    });

    it("do not match with any single byte changed", async () => {
      const digest = await push();
      await cosign.sign(`${registry.host}/${REPOSITORY}@${digest}`, alice, "bundle");
      const index = parseManifest((await getManifest(registry, REPOSITORY, digest.replace(":", "-"))).toString());
      const manifest = parseManifest(
        (await getManifest(registry, REPOSITORY, index?.manifests[0]?.digest ?? "")).toString(),
      );
      const bytes = await getBlob(registry, REPOSITORY, manifest?.layers[0]?.digest ?? "");
      const found = { where: "here", image: digest, blob: digest };
      const signedParts = async (text: Buffer): Promise<string | undefined> => {
        const bundle = parseBundle(text);
        const read = bundle === undefined ? undefined : readBundle(bundle, found);
        const candidate = read?.kind === "candidates" ? read.candidates[0] : undefined;
        if (candidate?.kind !== "signature" || !(await counts(candidate))) return undefined;
        return `${candidate.signedBytes.toString("hex")} ${candidate.signature.toString("hex")}`;
      };
      const genuine = await signedParts(bytes);
      expect(genuine).to.be.a("string");
      // Some bytes mean nothing (the hint, spaces): where the bundle still matches, what is signed must be what was signed.
      for (let at = 0; at < bytes.length; at++)
        expect(await signedParts(flipped(bytes, at))).to.be.oneOf([undefined, genuine]);
    });
  });
});
