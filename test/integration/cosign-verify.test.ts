import { createHash } from "node:crypto";
import { expect } from "chai";
import { createRegistryClient, type RegistryClient } from "../../adapters/registry/client.ts";
import { createKeyVerifier } from "../../adapters/sigstore/verifier.ts";
import { type Digest, type ImageReference, parseReference } from "../../core/image/reference.ts";
import type { AuthorityOutcome, HashAlgorithm, KeyAuthority, VerifyKeyAuthority } from "../../core/policy/types.ts";
import { ANONYMOUS } from "../../core/registry/keychain.ts";
import { OCI_INDEX } from "../../core/registry/media-types.ts";
import { Cosign, type KeyPair, type SignatureForm } from "../support/cosign.ts";
import { type Answering, startFakeRegistry } from "../support/fake-registry.ts";
import { generatePem, type KeyKind } from "../support/keys.ts";
import { getManifest, pushTinyImage, putManifest, startRegistry, type TestRegistry } from "../support/registry.ts";

const within = (): AbortSignal => AbortSignal.timeout(20_000);

function authority(keys: readonly string[], more: Partial<KeyAuthority> = {}): KeyAuthority {
  return {
    kind: "key",
    name: "authority-0",
    index: 0,
    keys,
    hashAlgorithm: "sha256",
    source: { pullSecrets: [] },
    ...more,
  };
}

describe("signatures by the real cosign, in a real registry", function () {
  this.timeout(60_000); // cosign takes its time for a key's password
  let registry: TestRegistry;
  let client: RegistryClient;
  let cosign: Cosign;
  let verify: VerifyKeyAuthority;
  let alice: KeyPair;
  let bob: KeyPair;
  let serial = 0;

  before(async function () {
    this.timeout(0); // the first run on a machine builds cosign and the registry
    cosign = await Cosign.create();
    registry = await startRegistry();
    client = createRegistryClient();
    [alice, bob] = [await cosign.generateKeyPair("alice"), await cosign.generateKeyPair("bob")];
  });

  let opened: (() => Promise<void>)[] = [];

  /** A client with an empty memory of its own, and a verifier that uses it. */
  function fresh(): void {
    const own = createRegistryClient();
    opened.push(() => own.close());
    verify = createKeyVerifier({ registry: own });
  }

  beforeEach(() => {
    verify = createKeyVerifier({ registry: client });
  });

  afterEach(async () => {
    await Promise.all(opened.map((close) => close()));
    opened = [];
  });

  after(async () => {
    await client?.close();
    await registry?.stop();
    cosign?.dispose();
  });

  interface Image {
    readonly reference: ImageReference;
    readonly digest: Digest;
    readonly pinned: string;
  }

  async function image(repository = `app-${++serial}`): Promise<Image> {
    const tag = `t${++serial}`;
    const digest = await pushTinyImage(registry, repository, tag);
    return {
      reference: parseReference(`${registry.host}/${repository}:${tag}`),
      digest,
      pinned: `${registry.host}/${repository}@${digest}`,
    };
  }

  const check = (what: Image, keys: readonly string[], more: Partial<KeyAuthority> = {}): Promise<AuthorityOutcome> =>
    verify(what, authority(keys, more), ANONYMOUS, within());
  const asked = (): readonly string[] =>
    registry
      .newRequests()
      .map(
        ({ method, path, status }) =>
          `${method} ${status} ${path.replace(/^\/v2\/[^/]+\//, "").replace(/[0-9a-f]{64}/, "…")}`,
      );

  const forms: readonly SignatureForm[] = ["classic", "bundle", "referrer"];
  for (const form of forms) {
    describe(`stored as ${form}`, () => {
      it("match with the signer's key, or with it among others; not with another's", async () => {
        const signed = await image();
        await cosign.sign(signed.pinned, alice, form);
        const own = await check(signed, [alice.publicKey]);
        expect(own.kind, JSON.stringify(own)).to.equal("matched");
        expect(await check(signed, [bob.publicKey, alice.publicKey])).to.deep.equal(own);
        const other = await check(signed, [bob.publicKey]);
        expect(other.kind).to.equal("failed");
        expect(other)
          .to.have.property("message")
          .that.matches(/^no matching signatures: .*not signed by this authority's key/);
      });

      it("of several signers each match with their own key", async () => {
        const signed = await image();
        await cosign.sign(signed.pinned, alice, form);
        await cosign.sign(signed.pinned, bob, form);
        const ids = await Promise.all(
          [alice, bob].map(async ({ publicKey }) => {
            const outcome = await check(signed, [publicKey]);
            return outcome.kind === "matched" ? outcome.signatures.map(({ id }) => id) : [];
          }),
        );
        expect(ids.map(({ length }) => length)).to.deep.equal([1, 1]);
        expect(ids[0]).not.to.deep.equal(ids[1]);
      });
    });
  }

  it("that are missing: no signatures found", async () => {
    const outcome = await check(await image("unsigned"), [alice.publicKey]);
    expect(outcome).to.deep.equal({ kind: "failed", message: `no signatures found in ${registry.host}/unsigned` });
  });

  it("have the id that policy-controller gives: the hash of the signature", async () => {
    const signed = await image();
    await cosign.sign(signed.pinned, alice, "classic");
    const manifest = JSON.parse(
      (await getManifest(registry, signed.reference.repository, `${signed.digest.replace(":", "-")}.sig`)).toString(),
    );
    const signature = Buffer.from(manifest.layers[0].annotations["dev.cosignproject.cosign/signature"], "base64");
    const id = createHash("sha256").update(signature).digest("hex");
    expect(await check(signed, [alice.publicKey])).to.deep.equal({ kind: "matched", signatures: [{ id }] });
  });

  describe("by keys of other kinds", () => {
    for (const kind of ["P-384", "P-521", "rsa"] as const satisfies readonly KeyKind[]) {
      it(`${kind}: classic and bundle`, async () => {
        const pair = await cosign.importKeyPair(kind, generatePem(kind).privateKey);
        for (const form of ["classic", "bundle"] as const) {
          const signed = await image();
          await cosign.sign(signed.pinned, pair, form);
          expect((await check(signed, [pair.publicKey])).kind).to.equal("matched");
          expect((await check(signed, [generatePem(kind).publicKey])).kind).to.equal("failed");
        }
      });
    }

    it("Ed25519, which cosign 3 signs with a variant that nothing here verifies: refused, and the message says so", async () => {
      const pair = await cosign.importKeyPair("ed25519", generatePem("ed25519").privateKey);
      const signed = await image();
      await cosign.sign(signed.pinned, pair, "classic");
      const outcome = await check(signed, [pair.publicKey]);
      expect(outcome.kind).to.equal("failed");
      expect(outcome).to.have.property("message").that.contains("Ed25519ph");
    });

    it("with a hash algorithm that the policy does not allow: refused", async () => {
      const signed = await image();
      await cosign.sign(signed.pinned, alice, "classic");
      for (const hashAlgorithm of ["sha224", "sha384", "sha512"] as const satisfies readonly HashAlgorithm[]) {
        expect((await check(signed, [alice.publicKey], { hashAlgorithm })).kind).to.equal("failed");
      }
    });
  });

  describe("kept elsewhere", () => {
    it("in another repository are found there and only there", async () => {
      const elsewhere = `${registry.host}/signatures`;
      for (const form of ["classic", "bundle"] as const) {
        const signed = await image();
        await cosign.sign(signed.pinned, alice, form, elsewhere);
        expect((await check(signed, [alice.publicKey])).kind).to.equal("failed");
        const found = await check(signed, [alice.publicKey], { source: { pullSecrets: [], repository: elsewhere } });
        expect(found.kind, JSON.stringify(found)).to.equal("matched");
      }
    });

    it("under a tag prefix are found with it and only with it", async () => {
      const signed = await image();
      await cosign.sign(signed.pinned, alice, "classic");
      const { repository } = signed.reference;
      const tag = `${signed.digest.replace(":", "-")}.sig`;
      const other = await image(repository);
      const prefix = { source: { pullSecrets: [], tagPrefix: "release-" } };
      expect((await check(signed, [alice.publicKey], prefix)).kind).to.equal("failed");
      await putManifest(registry, repository, `release-${tag}`, await getManifest(registry, repository, tag));
      expect((await check(signed, [alice.publicKey], prefix)).kind).to.equal("matched");
      expect((await check(other, [alice.publicKey], prefix)).kind).to.equal("failed");
    });
  });

  it("are no attestations: an attested image is not a signed one", async () => {
    const attested = await image();
    await cosign.attest(attested.pinned, alice, "https://example.com/predicate/v1", { passed: true });
    expect((await check(attested, [alice.publicKey])).kind).to.equal("failed");
    await cosign.sign(attested.pinned, alice, "bundle");
    expect((await check(attested, [alice.publicKey])).kind).to.equal("matched");
  });

  describe("cost the registry", () => {
    it("three requests for a tag that was signed in classic form", async () => {
      const signed = await image();
      await cosign.sign(signed.pinned, alice, "classic");
      asked();
      await client.resolve(signed.reference, ANONYMOUS, within());
      await check(signed, [alice.publicKey]);
      expect(asked()).to.deep.equal([
        `HEAD 200 manifests/${signed.reference.tag}`,
        "GET 200 manifests/sha256-….sig",
        "GET 200 blobs/sha256:…",
      ]);
    });

    it("for bundles five the first time, and four when the repository is known to hold bundles", async () => {
      const first = await image("bundles");
      const second = await image("bundles");
      for (const { pinned } of [first, second]) await cosign.sign(pinned, alice, "bundle");
      fresh();
      asked();
      expect((await check(first, [alice.publicKey])).kind).to.equal("matched");
      expect(asked()).to.deep.equal([
        "GET 404 manifests/sha256-….sig",
        "GET 404 referrers/sha256:…",
        "GET 200 manifests/sha256-…",
        "GET 200 manifests/sha256:…",
        "GET 200 blobs/sha256:…",
      ]);
      expect((await check(second, [alice.publicKey])).kind).to.equal("matched");
      expect(asked()).to.deep.equal([
        "GET 200 manifests/sha256-…",
        "GET 200 manifests/sha256:…",
        "GET 200 blobs/sha256:…",
      ]);
    });

    it("four for bundles, if it has a referrers API (a proxy in front that adds one); attestations are not even fetched", async () => {
      const signed = await image();
      await cosign.attest(signed.pinned, alice, "https://example.com/predicate/v1", {});
      await cosign.sign(signed.pinned, alice, "bundle");
      const front = await startFakeRegistry(withReferrersApi(registry));
      opened.push(() => front.stop());
      fresh();
      const reference = parseReference(`${front.host}/${signed.reference.repository}@${signed.digest}`);
      expect((await check({ ...signed, reference }, [alice.publicKey])).kind).to.equal("matched");
      expect(
        front.requests.map(({ url }) => url.replace(/^\/v2\/[^/]+\//, "").replace(/[0-9a-f]{64}/, "…")),
      ).to.deep.equal(["manifests/sha256-….sig", "referrers/sha256:…", "manifests/sha256:…", "blobs/sha256:…"]);
    });

    it("no more for a hundred who ask at once, about several authorities", async () => {
      const signed = await image();
      await cosign.sign(signed.pinned, alice, "classic");
      asked();
      const outcomes = await Promise.all(
        Array.from({ length: 100 }, (_, i) => check(signed, [alice.publicKey], { name: `authority-${i % 5}` })),
      );
      expect(outcomes.every(({ kind }) => kind === "matched")).to.equal(true);
      expect(asked()).to.have.length(2);
    });

    it("nothing more for who asks shortly after; but a refusal is never from memory", async () => {
      const signed = await image();
      await cosign.sign(signed.pinned, alice, "classic");
      await check(signed, [alice.publicKey]);
      asked();
      await check(signed, [alice.publicKey]);
      expect(asked()).to.deep.equal([]);
      expect((await check(signed, [bob.publicKey])).kind).to.equal("failed");
      expect(asked()).not.to.deep.equal([]);
      await cosign.sign(signed.pinned, bob, "classic");
      expect((await check(signed, [bob.publicKey])).kind).to.equal("matched");
    });

    it("whatever one waiter does to itself, the others are answered", async () => {
      const signed = await image();
      await cosign.sign(signed.pinned, alice, "classic");
      const impatient = new AbortController();
      const gaveUp = verify(signed, authority([alice.publicKey]), ANONYMOUS, impatient.signal);
      const patient = check(signed, [alice.publicKey]);
      impatient.abort();
      expect((await gaveUp).kind).to.equal("undecided");
      expect((await patient).kind).to.equal("matched");
    });
  });
});

/** Passes requests on to a registry, and answers for its referrers what OCI distribution 1.1 prescribes: descriptors with annotations. */
function withReferrersApi(registry: TestRegistry): Answering {
  const answer = async (
    url: string,
    headers: Record<string, string>,
  ): Promise<{ status: number; bytes: Buffer; type: string }> => {
    const [, repository = "", digest = ""] = /^\/v2\/(.+)\/referrers\/(.+)$/.exec(url) ?? [];
    if (digest === "") {
      const response = await fetch(`http://${registry.host}${url}`, { headers });
      const bytes = Buffer.from(await response.arrayBuffer());
      return { status: response.status, bytes, type: response.headers.get("content-type") ?? "" };
    }
    const index = JSON.parse((await getManifest(registry, repository, digest.replace(":", "-"))).toString());
    for (const descriptor of index.manifests) {
      descriptor.annotations = JSON.parse(
        (await getManifest(registry, repository, descriptor.digest)).toString(),
      ).annotations;
    }
    return { status: 200, bytes: Buffer.from(JSON.stringify(index)), type: OCI_INDEX };
  };
  return (request, response) => {
    void answer(request.url ?? "", { accept: request.headers.accept ?? "*/*" }).then(({ status, bytes, type }) => {
      response.writeHead(status, { "content-type": type }).end(bytes);
    });
  };
}
