import { expect } from "chai";
import { parseReference } from "../../core/image/reference.ts";
import type { AuthorityOutcome, KeyAuthority, VerifyAuthority } from "../../core/policy/types.ts";
import { ANONYMOUS } from "../../core/registry/keychain.ts";
import { OCI_INDEX } from "../../core/registry/media-types.ts";
import type { KeyPair } from "../support/cosign.ts";
import { type Answering, type FakeRegistry, startFakeRegistry } from "../support/fake-registry.ts";
import { getManifest, type TestRegistry } from "../support/registry.ts";
import { abbreviated, type PushedImage, SigningBench } from "../support/signing.ts";
import { keyAuthority, verifierOf } from "../support/verifying.ts";

const TYPE = "https://example.com/predicate/v1";
const ATTESTED = { attestations: [{ name: "tests", predicateType: TYPE }] };
const within = (): AbortSignal => AbortSignal.timeout(20_000);

describe("what a verification asks a registry", function () {
  this.timeout(120_000); // cosign takes its time for a key's password
  let bench: SigningBench;
  let verify: VerifyAuthority;
  let alice: KeyPair;
  let bob: KeyPair;
  let fronts: FakeRegistry[] = [];

  before(async function () {
    this.timeout(0); // the first run on a machine builds cosign and the registry
    bench = await SigningBench.start();
    ({ alice, bob } = bench);
  });

  beforeEach(() => {
    verify = verifierOf(bench.client());
  });

  afterEach(async () => {
    await Promise.all(fronts.map((front) => front.stop()));
    fronts = [];
  });

  after(() => bench?.stop());

  const check = (what: PushedImage, more: Partial<KeyAuthority> = {}, pair = alice): Promise<AuthorityOutcome> =>
    verify(what, keyAuthority([pair.publicKey], more), ANONYMOUS, within());

  /** The same image behind a proxy that adds a referrers API, and what that proxy is asked. */
  async function withApi(image: PushedImage): Promise<{ image: PushedImage; asked: () => readonly string[] }> {
    const front = await startFakeRegistry(addingReferrersApi(bench.registry));
    fronts.push(front);
    const reference = parseReference(`${front.host}/${image.reference.repository}@${image.digest}`);
    return { image: { ...image, reference }, asked: () => front.requests.map(({ url }) => abbreviated(url)) };
  }

  it("three requests for a tag that was signed in classic form, and two for its attestations", async () => {
    const image = await bench.image();
    await bench.cosign.sign(image.pinned, alice, "classic");
    await bench.cosign.attest(image.pinned, alice, TYPE, {}, "classic");
    bench.asked();
    await bench.client().resolve(image.reference, ANONYMOUS, within());
    await check(image);
    expect(bench.asked()).to.deep.equal([
      `HEAD 200 manifests/${image.reference.tag}`,
      "GET 200 manifests/sha256-….sig",
      "GET 200 blobs/sha256:…",
    ]);
    expect((await check(image, ATTESTED)).kind).to.equal("matched");
    expect(bench.asked()).to.deep.equal(["GET 200 manifests/sha256-….att", "GET 200 blobs/sha256:…"]);
  });

  it("for bundles five the first time, and three when the repository or its registry is known to hold bundles", async () => {
    const images = [await bench.image("bundles"), await bench.image("bundles"), await bench.image()];
    for (const { pinned } of images) await bench.cosign.sign(pinned, alice, "bundle");
    bench.asked();
    const asked: (readonly string[])[] = [];
    for (const image of images) {
      expect((await check(image)).kind).to.equal("matched");
      asked.push(bench.asked());
    }
    const known = ["GET 200 manifests/sha256-…", "GET 200 manifests/sha256:…", "GET 200 blobs/sha256:…"];
    expect(asked).to.deep.equal([
      ["GET 404 manifests/sha256-….sig", "GET 404 referrers/sha256:…", ...known],
      known,
      known,
    ]);
  });

  it("two in a repository not seen before, in a registry that holds both forms", async () => {
    for (const form of ["bundle", "classic", "bundle"] as const) {
      const image = await bench.image();
      await bench.cosign.sign(image.pinned, alice, form);
      expect((await check(image)).kind).to.equal("matched");
    }
    const image = await bench.image();
    await bench.cosign.sign(image.pinned, alice, "classic");
    bench.asked();
    await check(image);
    expect(bench.asked()).to.deep.equal(["GET 200 manifests/sha256-….sig", "GET 200 blobs/sha256:…"]);
  });

  for (const [what, more, tag] of [
    ["signatures", {}, "sig"],
    ["attestations", ATTESTED, "att"],
  ] as const) {
    it(`four for bundled ${what}, if it has a referrers API: what is of the other kind is not even fetched`, async () => {
      const signed = await bench.image();
      await bench.cosign.attest(signed.pinned, alice, TYPE, {});
      await bench.cosign.sign(signed.pinned, alice, "bundle");
      const { image, asked } = await withApi(signed);
      expect((await check(image, more)).kind).to.equal("matched");
      expect(asked()).to.deep.equal([
        `manifests/sha256-….${tag}`,
        "referrers/sha256:…",
        "manifests/sha256:…",
        "blobs/sha256:…",
      ]);
    });
  }

  it("nothing of classic tags where only bundles count", async () => {
    const image = await bench.image();
    await bench.cosign.sign(image.pinned, alice, "classic");
    bench.asked();
    expect((await check(image, { bundlesOnly: true })).kind).to.equal("failed");
    expect(bench.asked()).to.deep.equal(["GET 404 referrers/sha256:…", "GET 404 manifests/sha256-…"]);
  });

  it("one list of referrers for signatures and attestations, at the same time or shortly after one another", async () => {
    const signed = await bench.image();
    await bench.cosign.attest(signed.pinned, alice, TYPE, {});
    await bench.cosign.sign(signed.pinned, alice, "bundle");
    for (const together of [true, false]) {
      const { image, asked } = await withApi(signed);
      const first = check(image);
      if (!together) await first;
      const outcomes = await Promise.all([first, check(image, ATTESTED)]);
      expect(outcomes.map(({ kind }) => kind)).to.deep.equal(["matched", "matched"]);
      expect(asked().filter((path) => path.startsWith("referrers/"))).to.have.length(1);
    }
  });

  it("no referrer's manifest twice, where the list does not say what each is", async () => {
    const image = await bench.image();
    await bench.cosign.attest(image.pinned, alice, TYPE, {});
    await bench.cosign.sign(image.pinned, alice, "bundle");
    bench.asked();
    const outcomes = await Promise.all([check(image), check(image, ATTESTED)]);
    expect(outcomes.map(({ kind }) => kind)).to.deep.equal(["matched", "matched"]);
    const asked = bench.asked();
    expect(asked.filter((line) => line === "GET 200 manifests/sha256:…")).to.have.length(2);
    expect(asked.filter((line) => line.includes("blobs/"))).to.have.length(2);
  });

  it("no more for a hundred who ask at once, about several authorities", async () => {
    const image = await bench.image();
    await bench.cosign.sign(image.pinned, alice, "classic");
    await bench.cosign.attest(image.pinned, alice, TYPE, {}, "classic");
    bench.asked();
    const outcomes = await Promise.all(
      Array.from({ length: 100 }, (_, i) => check(image, { name: `a-${i % 5}`, ...(i % 2 === 1 && ATTESTED) })),
    );
    expect(outcomes.every(({ kind }) => kind === "matched")).to.equal(true);
    expect(bench.asked()).to.have.length(4);
  });

  it("nothing more for who asks shortly after; but a refusal is never from memory", async () => {
    for (const more of [{}, ATTESTED]) {
      const image = await bench.image();
      const sign = (pair: KeyPair): Promise<void> =>
        more === ATTESTED
          ? bench.cosign.attest(image.pinned, pair, TYPE, {}, "classic")
          : bench.cosign.sign(image.pinned, pair, "classic");
      await sign(alice);
      await check(image, more);
      bench.asked();
      await check(image, more);
      expect(bench.asked()).to.deep.equal([]);
      expect((await check(image, more, bob)).kind).to.equal("failed");
      expect(bench.asked()).not.to.deep.equal([]);
      await sign(bob);
      expect((await check(image, more, bob)).kind).to.equal("matched");
    }
  });

  it("again for what was attested after the list was read for signatures", async () => {
    const image = await bench.image();
    await bench.cosign.sign(image.pinned, alice, "bundle");
    expect((await check(image)).kind).to.equal("matched");
    await bench.cosign.attest(image.pinned, alice, TYPE, {});
    expect((await check(image, ATTESTED)).kind).to.equal("matched");
  });

  it("for everyone, whatever one waiter does to itself", async () => {
    const image = await bench.image();
    await bench.cosign.sign(image.pinned, alice, "classic");
    const impatient = new AbortController();
    const gaveUp = verify(image, keyAuthority([alice.publicKey]), ANONYMOUS, impatient.signal);
    const patient = check(image);
    impatient.abort();
    expect((await gaveUp).kind).to.equal("undecided");
    expect((await patient).kind).to.equal("matched");
  });
});

/** Passes requests on to a registry, and answers for its referrers what OCI distribution 1.1 prescribes: descriptors with annotations. */
function addingReferrersApi(registry: TestRegistry): Answering {
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
      const manifest = await getManifest(registry, repository, descriptor.digest);
      descriptor.annotations = JSON.parse(manifest.toString()).annotations;
    }
    return { status: 200, bytes: Buffer.from(JSON.stringify(index)), type: OCI_INDEX };
  };
  return (request, response) => {
    void answer(request.url ?? "", { accept: request.headers.accept ?? "*/*" }).then(({ status, bytes, type }) => {
      response.writeHead(status, { "content-type": type }).end(bytes);
    });
  };
}
