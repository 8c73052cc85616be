import { sign } from "node:crypto";
import { expect } from "chai";
import { createRegistryClient, type RegistryClient } from "../../adapters/registry/client.ts";
import { parseBundle, preAuthEncoding, readBundle } from "../../adapters/sigstore/bundle.ts";
import { classicCandidates, signedPayloads } from "../../adapters/sigstore/classic.ts";
import { judge } from "../../adapters/sigstore/judge.ts";
import { verificationKey } from "../../adapters/sigstore/keys.ts";
import { createKeyVerifier } from "../../adapters/sigstore/verifier.ts";
import { type Digest, parseReference } from "../../core/image/reference.ts";
import type { AuthorityOutcome } from "../../core/policy/types.ts";
import { parseManifest } from "../../core/registry/descriptor.ts";
import { ANONYMOUS } from "../../core/registry/keychain.ts";
import { OCI_INDEX, OCI_MANIFEST, SIMPLE_SIGNING } from "../../core/registry/media-types.ts";
import { Cosign, type KeyPair } from "../support/cosign.ts";
import { generatePem, type KeyKind, type PemPair } from "../support/keys.ts";
import {
  getBlob,
  getManifest,
  pushTinyImage,
  putBlob,
  putManifest,
  startRegistry,
  type TestRegistry,
} from "../support/registry.ts";

const SIGNATURE = "dev.cosignproject.cosign/signature";
const BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json";
const REPOSITORY = "app";

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}

/** A simple-signing payload as cosign makes it. */
function payloadFor(digest: string, critical: object = {}): Buffer {
  const image = { "docker-manifest-digest": digest };
  const identity = { "docker-reference": "anything at all" };
  return Buffer.from(
    JSON.stringify({
      critical: { identity, image, type: "cosign container image signature", ...critical },
      optional: null,
    }),
  );
}

/** An in-toto statement as cosign makes it. */
function statementFor(digest: string, more: object = {}): Buffer {
  const subject = [{ digest: { sha256: digest.slice("sha256:".length) } }];
  const predicateType = "https://sigstore.dev/cosign/sign/v1";
  return Buffer.from(
    JSON.stringify({ _type: "https://in-toto.io/Statement/v1", subject, predicateType, predicate: {}, ...more }),
  );
}

function envelope(
  payload: Buffer,
  signatures: readonly Buffer[],
  payloadType = "application/vnd.in-toto+json",
): object {
  const sigs = signatures.map((sig) => ({ sig: sig.toString("base64"), keyid: "" }));
  return {
    mediaType: BUNDLE,
    verificationMaterial: { publicKey: { hint: "" } },
    dsseEnvelope: { payload: payload.toString("base64"), payloadType, signatures: sigs },
  };
}

describe("signatures that were tampered with", function () {
  this.timeout(60_000); // cosign takes its time for a key's password
  let registry: TestRegistry;
  let client: RegistryClient;
  let cosign: Cosign;
  let alice: KeyPair;
  let own: PemPair;
  let serial = 0;

  before(async function () {
    this.timeout(0); // the first run on a machine builds cosign and the registry
    cosign = await Cosign.create();
    registry = await startRegistry();
    client = createRegistryClient();
    alice = await cosign.generateKeyPair("alice");
    own = generatePem("P-256");
  });

  after(async () => {
    await client?.close();
    await registry?.stop();
    cosign?.dispose();
  });

  const push = (): Promise<Digest> => pushTinyImage(registry, REPOSITORY, `t${++serial}`);
  const signBy = (data: Buffer, pair = own): Buffer => sign("sha256", data, pair.signer);

  function verify(digest: Digest, publicKey = own.publicKey): Promise<AuthorityOutcome> {
    const authority = {
      kind: "key",
      name: "a",
      index: 0,
      keys: [publicKey],
      hashAlgorithm: "sha256",
      source: { pullSecrets: [] },
    } as const;
    const reference = parseReference(`${registry.host}/${REPOSITORY}@${digest}`);
    return createKeyVerifier({ registry: client })(
      { reference, digest },
      authority,
      ANONYMOUS,
      AbortSignal.timeout(10_000),
    );
  }

  /** Stores a classic signature for `digest`, whatever it says. */
  async function putClassic(
    digest: Digest,
    payload: Buffer,
    annotations: Readonly<Record<string, string>>,
  ): Promise<void> {
    const config = await putBlob(registry, REPOSITORY, Buffer.from("{}"));
    const layer = {
      mediaType: SIMPLE_SIGNING,
      digest: await putBlob(registry, REPOSITORY, payload),
      size: payload.length,
      annotations,
    };
    await putManifest(registry, REPOSITORY, `${digest.replace(":", "-")}.sig`, {
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      config: { mediaType: "application/json", digest: config, size: 2 },
      layers: [layer],
    });
  }

  /** Stores a bundle that refers to `digest`, whatever it says. */
  async function putBundle(digest: Digest, bundle: object | Buffer): Promise<void> {
    const bytes = Buffer.isBuffer(bundle) ? bundle : Buffer.from(JSON.stringify(bundle));
    const config = await putBlob(registry, REPOSITORY, Buffer.from("{}"));
    const layer = { mediaType: BUNDLE, digest: await putBlob(registry, REPOSITORY, bytes), size: bytes.length };
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: OCI_MANIFEST,
        artifactType: BUNDLE,
        config: { mediaType: "application/vnd.oci.empty.v1+json", digest: config, size: 2 },
        layers: [layer],
      }),
    );
    const referrer = await putManifest(registry, REPOSITORY, `referrer-${++serial}`, manifest);
    const descriptor = { mediaType: OCI_MANIFEST, artifactType: BUNDLE, digest: referrer, size: manifest.length };
    await putManifest(
      registry,
      REPOSITORY,
      digest.replace(":", "-"),
      { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [descriptor] },
      OCI_INDEX,
    );
  }

  const annotated = (signature: Buffer) => ({ [SIGNATURE]: signature.toString("base64") });

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
      const keys = [verificationKey(alice.publicKey, "sha256")];
      const [candidate] = classicCandidates(signed, payload, "here", digest);
      if (candidate === undefined) throw new Error("cosign stored no signature");
      const matches = (signedBytes: Buffer, signature: Buffer) =>
        judge({ candidates: [{ ...candidate, signedBytes, signature }], gaps: [] }, keys).facts.length;
      expect(matches(payload, candidate.signature)).to.equal(1);
      for (let at = 0; at < payload.length; at++)
        expect(matches(flipped(payload, at), candidate.signature)).to.equal(0);
      for (let at = 0; at < candidate.signature.length; at++)
        expect(matches(payload, flipped(candidate.signature, at))).to.equal(0);
    });
  });

  describe("in a bundle", () => {
    const TYPE = "application/vnd.in-toto+json";
    const signed = (statement: Buffer, type = TYPE) =>
      envelope(statement, [signBy(preAuthEncoding(type, statement))], type);

    it("(as they are made here, untouched, they match)", async () => {
      const digest = await push();
      await putBundle(digest, signed(statementFor(digest)));
      expect((await verify(digest)).kind).to.equal("matched");
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
      const keys = [verificationKey(alice.publicKey, "sha256")];
      const signedParts = (text: Buffer): string | undefined => {
        const bundle = parseBundle(text);
        const read = bundle === undefined ? undefined : readBundle(bundle, "here", { digest });
        if (read?.kind !== "candidate" || judge({ candidates: [read.candidate], gaps: [] }, keys).facts.length === 0)
          return undefined;
        return `${read.candidate.signedBytes.toString("hex")} ${read.candidate.signature.toString("hex")}`;
      };
      const genuine = signedParts(bytes);
      expect(genuine).to.be.a("string");
      // Some bytes mean nothing (the hint, spaces): where the bundle still matches, what is signed must be what was signed.
      for (let at = 0; at < bytes.length; at++)
        expect(signedParts(flipped(bytes, at))).to.be.oneOf([undefined, genuine]);
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

    it("a key that is none, or of a kind that signs nothing: undecided, with the reason", async () => {
      const digest = await push();
      expect((await verify(digest, "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")).kind).to.equal(
        "undecided",
      );
    });
  });
});
