import { expect } from "chai";
import type { RegistryPorts } from "../../adapters/caches/lookups.ts";
import { type Digest, parseReference } from "../../core/image/reference.ts";
import type { AuthorityOutcome, KeyAuthority, PinnedImage } from "../../core/policy/types.ts";
import { ANONYMOUS } from "../../core/registry/keychain.ts";
import { Cosign, type KeyPair } from "../support/cosign.ts";
import { keyAuthority, messageIn } from "../support/verifying.ts";
import { type LookupPorts, type LookupSituation, lookupPorts, lookupRule, PULL_HOST } from "./cache-lookups-harness.ts";
import { acceptedRule, Cleanup, Distribution, GatewayProcess } from "./gateway-harness.ts";

const TYPE = "https://example.com/predicate/v1";
const ATTESTED = { attestations: [{ name: "tests", predicateType: TYPE }] };
const within = (): AbortSignal => AbortSignal.timeout(20_000);

/** An image as it is signed, and what a policy asks of it. */
interface Signed {
  readonly name: string;
  readonly more: Partial<KeyAuthority>;
}

const FORMS: readonly Signed[] = [
  { name: "classic", more: {} },
  { name: "attested", more: ATTESTED },
  { name: "bundle", more: {} },
  { name: "referrer", more: {} },
];

describe("signatures, attestations and tags by way of the cache", function () {
  this.timeout(60_000); // cosign takes its time for a key's password
  const cleanup = new Cleanup();
  const perTest = new Cleanup();
  let cosign: Cosign;
  let alice: KeyPair;
  let upstream: Distribution;
  let proxy: Distribution;
  let gateway: GatewayProcess;
  let host: string;
  const digests = new Map<string, Digest>();

  before(async function () {
    this.timeout(0); // the first run on a machine builds cosign and the registry
    cosign = await Cosign.create();
    cleanup.add(() => cosign.dispose());
    alice = await cosign.generateKeyPair("alice");
    upstream = await Distribution.start(cleanup);
    host = new URL(upstream.origin).host;
    proxy = await Distribution.start(cleanup, { upstream });
    gateway = await GatewayProcess.start(cleanup, { registry: "main", origins: { [host]: proxy.origin } });
    await gateway.setRules([acceptedRule("apps", `${host}/acme/*`, "hub/*")]);
    for (const name of [...FORMS.map((one) => one.name), "unsigned", "evidence"]) await push(name);
    await cosign.sign(pinned("classic"), alice, "classic");
    await cosign.attest(pinned("attested"), alice, TYPE, {}, "classic");
    await cosign.sign(pinned("bundle"), alice, "bundle");
    await cosign.sign(pinned("referrer"), alice, "referrer");
  });
  afterEach(() => perTest.run());
  after(() => cleanup.run());

  async function push(name: string): Promise<void> {
    const { digest } = await upstream.pushImage(`acme/${name}`, "v1", Buffer.from(name));
    digests.set(name, digest as Digest);
  }
  const digestOf = (name: string): Digest => digests.get(name) ?? "sha256:";
  const pinned = (name: string): string => `${host}/acme/${name}@${digestOf(name)}`;
  const image = (name: string): PinnedImage => ({ reference: parseReference(pinned(name)), digest: digestOf(name) });

  const ports = (situation: LookupSituation = {}): LookupPorts =>
    lookupPorts(perTest, [lookupRule(`${host}/acme/*`, "hub/*")], {
      gateway: new URL(gateway.origin).host,
      ...situation,
    });
  const verify = (by: RegistryPorts, name: string, more: Partial<KeyAuthority> = {}): Promise<AuthorityOutcome> =>
    by.verify(image(name), keyAuthority([alice.publicKey], more), ANONYMOUS, within());

  for (const { name, more } of FORMS)
    it(`${name}: matched in the cache, and the upstream is not asked`, async () => {
      for (const signatures of ["both", "cache"] as const) {
        const by = ports({ signatures });
        expect(messageIn(await verify(by, name, more))).to.equal("it matched");
        const tag = parseReference(`${host}/acme/${name}:v1`);
        expect(await by.resolve(tag, ANONYMOUS, within())).to.equal(digestOf(name));
        expect(await by.configFiles(image(name), ANONYMOUS, within())).to.include("linux/amd64");
        expect(by.direct).to.deep.equal([]);
      }
    });

  it("without a rule, and with upstream: the same requests as without caches, and none to them", async () => {
    const elsewhere = [lookupRule("registry.example.com/acme/*", "hub/*")];
    for (const by of [
      lookupPorts(perTest, [], {}),
      lookupPorts(perTest, elsewhere, { gateway: "127.0.0.1:9" }),
      ports({ signatures: "upstream", gateway: "127.0.0.1:9" }),
    ]) {
      expect(messageIn(await verify(by, "classic"))).to.equal("it matched");
      await by.resolve(parseReference(`${host}/acme/classic:v1`), ANONYMOUS, within());
      expect(by.direct).to.deep.equal(["manifest ok", "blob ok", "resolve ok"]);
    }
  });

  it("an unsigned image gets the upstream's own answer with both, word for word, and the cache's with cache", async () => {
    const direct = await verify(lookupPorts(perTest, [], {}), "unsigned");
    expect(direct.kind).to.equal("failed");
    expect(await verify(ports(), "unsigned")).to.deep.equal(direct);
    const alone = await verify(ports({ signatures: "cache" }), "unsigned");
    expect(alone.kind).to.equal("failed");
    expect(messageIn(alone)).to.include(`no signatures found in ${new URL(gateway.origin).host}/hub/unsigned`);
  });

  it("evidence in another repository is looked for in the places of that one", async () => {
    await cosign.sign(pinned("unsigned"), alice, "classic", `${host}/acme/evidence`);
    for (const repository of [`${host}/acme/evidence`, `${PULL_HOST}/hub/evidence`]) {
      const by = ports({ signatures: "cache" });
      const more = { source: { repository, pullSecrets: [] } };
      expect(messageIn(await verify(by, "unsigned", more)), repository).to.equal("it matched");
      expect(by.direct).to.deep.equal([]);
    }
    const unusable = await verify(ports(), "unsigned", { source: { repository: "no such name", pullSecrets: [] } });
    expect(messageIn(unusable)).to.include("the authority cannot be used");
  });

  it("a tag of the cache's own name is asked of the gateway, not of the host that nodes pull from", async () => {
    const written = parseReference(`${PULL_HOST}/hub/classic:v1`);
    for (const signatures of ["cache", "both", "upstream"] as const)
      expect(await ports({ signatures }).resolve(written, ANONYMOUS, within())).to.equal(digestOf("classic"));
  });

  it("with the gateway down: both asks the upstream, cache decides nothing and says so", async () => {
    const down = { gateway: "127.0.0.1:9" };
    expect(messageIn(await verify(ports(down), "classic"))).to.equal("it matched");
    const tag = parseReference(`${host}/acme/classic:v1`);
    expect(await ports(down).resolve(tag, ANONYMOUS, within())).to.equal(digestOf("classic"));
    expect(await ports(down).configFiles(image("classic"), ANONYMOUS, within())).to.include("linux/amd64");

    const alone = await verify(ports({ ...down, signatures: "cache" }), "classic");
    expect(alone.kind).to.equal("undecided");
    expect(messageIn(alone)).to.include("cannot talk to 127.0.0.1:9");
  });

  describe("with the upstream off", () => {
    before(async () => {
      const warm = lookupPorts(cleanup, [lookupRule(`${host}/acme/*`, "hub/*")], {
        gateway: new URL(gateway.origin).host,
        signatures: "cache",
      });
      for (const { name, more } of FORMS) {
        await verify(warm, name, more);
        await warm.resolve(parseReference(`${host}/acme/${name}:v1`), ANONYMOUS, within());
        await warm.configFiles(image(name), ANONYMOUS, within());
      }
      await upstream.stop();
    });

    const outage = { type: "UpstreamReachable", status: "False", message: "connection refused" };
    for (const [when, conditions] of [
      ["before the operator has noticed", []],
      ["after", [outage]],
    ] as const)
      for (const { name, more } of FORMS)
        it(`${name} verifies in a cluster without a way out, ${when}`, async () => {
          await gateway.setRules([acceptedRule("apps", `${host}/acme/*`, "hub/*", [...conditions])]);
          for (const signatures of ["cache", "both"] as const) {
            const by = ports({ signatures });
            expect(messageIn(await verify(by, name, more)), signatures).to.equal("it matched");
            const tag = parseReference(`${host}/acme/${name}:v1`);
            expect(await by.resolve(tag, ANONYMOUS, within())).to.equal(digestOf(name));
            expect(await by.configFiles(image(name), ANONYMOUS, within())).to.include("linux/amd64");
          }
        });

    it("what is not in the cache is undecided, and with both the message names both reasons", async () => {
      await gateway.setRules([acceptedRule("apps", `${host}/acme/*`, "hub/*", [outage])]);
      const outcome = await verify(ports(), "evidence");
      expect(outcome.kind).to.equal("undecided");
      expect(messageIn(outcome))
        .to.include(`cannot talk to ${host}`)
        .and.include('CacheRegistry "main" was asked too: could not read all signatures')
        .and.include("is not cached");
      const missing = parseReference(`${host}/acme/evidence:v9`);
      const thrown = await ports().resolve(missing, ANONYMOUS, within()).catch(String);
      expect(thrown).to.include(`cannot talk to ${host}`).and.include('CacheRegistry "main" was asked too');

      const left = await verify(ports({ unreachable: "no gateway is ready" }), "classic");
      expect(left.kind).to.equal("undecided");
      expect(messageIn(left)).to.include('CacheRegistry "main" was not asked: no gateway is ready');
    });
  });
});
