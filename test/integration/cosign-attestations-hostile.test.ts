import { expect } from "chai";
import { systemClock } from "../../adapters/clock.ts";
import { parseEnvelope, readEnvelope } from "../../adapters/sigstore/envelope.ts";
import { createCandidateVerifier } from "../../adapters/sigstore/verification.ts";
import type { Digest } from "../../core/image/reference.ts";
import type { AuthorityOutcome } from "../../core/policy/types.ts";
import { ANONYMOUS } from "../../core/registry/keychain.ts";
import { OCI_INDEX } from "../../core/registry/media-types.ts";
import { Attester, envelopeOf, IN_TOTO, type Layer, statementAbout, TYPE } from "../support/attesting.ts";
import { getManifest, putManifest, sha256 } from "../support/registry.ts";
import { type PushedImage, SigningBench } from "../support/signing.ts";
import { attestationsOf, keyAuthority, messageIn, scriptedEngine, verifierOf } from "../support/verifying.ts";

const REQUIRED = [{ name: "tests", predicateType: TYPE }];

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}

describe("attestations that were tampered with", function () {
  this.timeout(120_000); // cosign takes its time for a key's password
  let bench: SigningBench;
  let attester: Attester;

  before(async function () {
    this.timeout(0); // the first run on a machine builds cosign and the registry
    bench = await SigningBench.start();
    attester = new Attester(bench);
  });

  after(() => bench?.stop());

  function check(image: PushedImage, publicKey = attester.pair.publicKey): Promise<AuthorityOutcome> {
    const authority = keyAuthority([publicKey], { attestations: REQUIRED });
    return verifierOf(bench.client())(image, authority, ANONYMOUS, AbortSignal.timeout(20_000));
  }

  const places: readonly (readonly [string, (image: PushedImage, layer: Layer) => Promise<void>])[] = [
    ["under the tag", (image, layer) => attester.tag(image, layer)],
    ["as a referrer (OCI 1.1)", (image, layer) => attester.refer(image, [layer])],
  ];
  for (const [place, put] of places) {
    describe(place, () => {
      it("(as they are made here, untouched, they match)", async () => {
        const image = await bench.image();
        await put(image, { bytes: attester.signed(statementAbout(image.digest)) });
        expect((await check(image)).kind).to.equal("matched");
      });

      type Row = readonly [what: string, kind: AuthorityOutcome["kind"], words: string, make: (image: Digest) => Layer];
      const rows: readonly Row[] = [
        ["without a signature", "failed", "not signed", (image) => ({ bytes: envelopeOf(statementAbout(image), []) })],
        [
          "with an empty signature",
          "failed",
          "not signed",
          (image) => ({ bytes: envelopeOf(statementAbout(image), [Buffer.alloc(0)]) }),
        ],
        [
          "with a signature that is none",
          "failed",
          "not signed by",
          (image) => ({ bytes: envelopeOf(statementAbout(image), [Buffer.from("signature")]) }),
        ],
        [
          "with the signature of another statement",
          "failed",
          "not signed by",
          (image) => ({
            bytes: envelopeOf(statementAbout(image), [attester.sign(statementAbout(image, { predicate: { x: 1 } }))]),
          }),
        ],
        [
          "as a bare statement",
          "failed",
          "not signed",
          (image) => ({ bytes: statementAbout(image), mediaType: IN_TOTO }),
        ],
        [
          "with a signature in an annotation only",
          "failed",
          "not signed",
          (image) => ({
            bytes: envelopeOf(statementAbout(image), []),
            annotations: {
              "dev.cosignproject.cosign/signature": attester.sign(statementAbout(image)).toString("base64"),
            },
          }),
        ],
        [
          "about another image",
          "failed",
          "another image",
          () => ({ bytes: attester.signed(statementAbout(sha256(Buffer.from("other")))) }),
        ],
        [
          "about no image",
          "failed",
          "another image",
          (image) => ({ bytes: attester.signed(statementAbout(image, { subject: [] })) }),
        ],
        [
          "about the image by another algorithm",
          "failed",
          "another image",
          (image) => ({
            bytes: attester.signed(statementAbout(image, { subject: [{ digest: { sha512: image.slice(7) } }] })),
          }),
        ],
        [
          "of another payload type",
          "undecided",
          "payload is not of type",
          (image) => ({
            bytes: envelopeOf(
              statementAbout(image),
              [attester.sign(statementAbout(image), "text/plain")],
              "text/plain",
            ),
          }),
        ],
        [
          "of another payload type than was signed",
          "failed",
          "not signed by",
          (image) => ({
            bytes: envelopeOf(statementAbout(image), [attester.sign(statementAbout(image), "text/plain")]),
          }),
        ],
        [
          "that are no statements",
          "undecided",
          "no in-toto statement",
          () => ({ bytes: attester.signed(Buffer.from("hello")) }),
        ],
        [
          "of an unknown version",
          "undecided",
          "known version",
          (image) => ({ bytes: attester.signed(statementAbout(image, { _type: "https://example.com/v9" })) }),
        ],
        [
          "that are image signatures",
          "failed",
          "no matching attestations",
          (image) => ({
            bytes: attester.signed(statementAbout(image, { predicateType: "https://sigstore.dev/cosign/sign/v1" })),
          }),
        ],
        ["that are garbage", "undecided", "no DSSE envelope", () => ({ bytes: Buffer.from("hello") })],
      ];
      for (const [what, kind, words, make] of rows) {
        it(`${what} do not match`, async () => {
          const image = await bench.image();
          await put(image, make(image.digest));
          const outcome = await check(image);
          expect(outcome.kind, messageIn(outcome)).to.equal(kind);
          expect(messageIn(outcome)).to.contain(words);
        });
      }

      it("beside good ones do not hinder those", async () => {
        const image = await bench.image();
        const unsigned = envelopeOf(statementAbout(image.digest, { predicate: { forged: true } }), []);
        await attester.tag(image, { bytes: unsigned }, { bytes: attester.signed(statementAbout(image.digest)) });
        const facts = attestationsOf(await check(image))["tests"];
        expect(facts).to.have.length(1);
      });
    });
  }

  it("are never shown to the policy engine unless they verified", async () => {
    const image = await bench.image();
    const forged = envelopeOf(statementAbout(image.digest, { predicate: { forged: true } }), [Buffer.from("x")]);
    await attester.tag(image, { bytes: forged }, { bytes: attester.signed(statementAbout(image.digest)) });
    const engine = scriptedEngine();
    const attestations = [{ name: "tests", predicateType: TYPE, evaluator: { language: "cue", source: "" } as const }];
    const authority = keyAuthority([attester.pair.publicKey], { attestations });
    await verifierOf(bench.client(), engine)(image, authority, ANONYMOUS, AbortSignal.timeout(20_000));
    expect(engine.shown.map(({ input }) => input.json.includes("forged"))).to.deep.equal([false]);
  });

  it("copied over from another image, by the real cosign, do not match", async () => {
    const { alice } = bench;
    for (const [form, suffix] of [
      ["classic", ".att"],
      ["bundle", ""],
    ] as const) {
      const [one, other] = [await bench.image("copies"), await bench.image("copies")];
      await bench.cosign.attest(one.pinned, alice, TYPE, {}, form);
      expect((await check(one, alice.publicKey)).kind).to.equal("matched");
      const [from, to] = [one, other].map(({ digest }) => `${digest.replace(":", "-")}${suffix}`);
      const manifest = await getManifest(bench.registry, "copies", from ?? "");
      await putManifest(bench.registry, "copies", to ?? "", manifest, suffix === "" ? OCI_INDEX : undefined);
      const outcome = await check(other, alice.publicKey);
      expect(messageIn(outcome)).to.contain("no matching attestations").and.contain("made for another image");
    }
  });

  it("do not match with any single byte changed", async () => {
    const { alice } = bench;
    const image = await bench.image();
    await bench.cosign.attest(image.pinned, alice, TYPE, { passed: true }, "classic");
    const [layer] = await attester.layers(image);
    if (layer === undefined) throw new Error("cosign stored no attestation");
    const verify = createCandidateVerifier({ clock: systemClock });
    const authority = keyAuthority([alice.publicKey]);
    const material = { intermediates: [], logEntries: [], timestamps: [] };
    const said = async (bytes: Buffer): Promise<string | undefined> => {
      const envelope = parseEnvelope(bytes);
      const read = envelope && readEnvelope(envelope, material, { where: "", image: image.digest, blob: layer.digest });
      const candidate = read?.kind === "candidates" ? read.candidates[0] : undefined;
      if (candidate === undefined) return undefined;
      const { kind } = await verify(candidate, authority, new AbortController().signal);
      return kind === "verified" ? candidate.statement?.json : undefined;
    };
    const genuine = await said(layer.bytes);
    expect(genuine).to.be.a("string");
    for (let at = 0; at < layer.bytes.length; at++)
      expect(await said(flipped(layer.bytes, at))).to.be.oneOf([undefined, genuine]);
  });
});
