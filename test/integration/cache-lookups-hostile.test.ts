import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { keychainFor } from "../../adapters/caches/place.ts";
import { type Digest, parseReference } from "../../core/image/reference.ts";
import type { AuthorityOutcome, Keychain } from "../../core/policy/types.ts";
import { ANONYMOUS } from "../../core/registry/keychain.ts";
import type { CacheRegistryObject } from "../../crds/index.ts";
import { TEST_USER } from "../../hack/testcluster/registry.ts";
import { Cosign, type KeyPair } from "../support/cosign.ts";
import { type FakeRegistry, startFakeRegistry } from "../support/fake-registry.ts";
import { keyAuthority, messageIn } from "../support/verifying.ts";
import { type LookupPorts, type LookupSituation, lookupPorts, lookupRule } from "./cache-lookups-harness.ts";
import { Cleanup, Distribution } from "./gateway-harness.ts";

const TOKEN = "header.secret-of-the-webhook.signature";
const within = (): AbortSignal => AbortSignal.timeout(20_000);
const base64 = (text: string): string => Buffer.from(text).toString("base64");

/** What a front makes of the registry's answer to a path. */
type Change = (path: string, body: Buffer) => Buffer;

const unchanged: Change = (_path, body) => body;

describe("lookups by way of a cache that is broken, slow or hostile", function () {
  this.timeout(60_000); // cosign takes its time for a key's password
  const cleanup = new Cleanup();
  const perTest = new Cleanup();
  let cosign: Cosign;
  let alice: KeyPair;
  let upstream: Distribution;
  let host: string;
  const digests: Record<string, Digest> = {};

  before(async function () {
    this.timeout(0); // the first run on a machine builds cosign and the registry
    cosign = await Cosign.create();
    cleanup.add(() => cosign.dispose());
    alice = await cosign.generateKeyPair("alice");
    upstream = await Distribution.start(cleanup);
    host = new URL(upstream.origin).host;
    for (const name of ["app", "other"]) {
      const { digest } = await upstream.pushImage(`acme/${name}`, "v1", Buffer.from(name));
      digests[name] = digest as Digest;
      await cosign.sign(`${host}/acme/${name}@${digest}`, alice, "classic");
    }
  });
  afterEach(() => perTest.run());
  after(() => cleanup.run());

  /** A cache of the repositories below `acme`, which it calls `hub`; what is asked for and what is answered may be changed on the way. */
  async function front(change: Change, ask: (path: string) => string = (path) => path): Promise<FakeRegistry> {
    const forward = async ({ url = "", method = "", headers }: IncomingMessage, response: ServerResponse) => {
      const path = ask(url.replace("/hub/", "/acme/"));
      const answer = await fetch(`${upstream.origin}${path}`, { method, headers: { accept: headers.accept ?? "*/*" } });
      const body = change(path, Buffer.from(await answer.arrayBuffer()));
      const kept = ["content-type", "docker-content-digest"].map((name) => [name, answer.headers.get(name) ?? ""]);
      response.writeHead(answer.status, Object.fromEntries(kept)).end(body);
    };
    const made = await startFakeRegistry((request, response) => {
      forward(request, response).catch(() => response.destroy());
    });
    perTest.add(() => made.stop());
    return made;
  }

  const ports = (situation: LookupSituation): LookupPorts => {
    const rule = lookupRule(`${host}/acme/*`, "hub/*", "main", situation.pullHost);
    return lookupPorts(perTest, [rule], situation);
  };
  const verify = (by: LookupPorts, keychain: Keychain = ANONYMOUS): Promise<AuthorityOutcome> => {
    const digest = digests["app"] ?? "sha256:";
    const image = { reference: parseReference(`${host}/acme/app@${digest}`), digest };
    return by.verify(image, keyAuthority([alice.publicKey]), keychain, within());
  };

  it("(a front that changes nothing)", async () => {
    const cache = await front(unchanged);
    const by = ports({ gateway: cache.host, signatures: "cache" });
    expect(messageIn(await verify(by))).to.equal("it matched");
    expect(by.direct).to.deep.equal([]);
  });

  const flip: Change = (path, body) => {
    if (path.includes("/blobs/")) body[20] = (body[20] ?? 0) ^ 1;
    return body;
  };
  it("a changed payload decides nothing in cache, and with both the upstream's does", async () => {
    const cache = await front(flip);
    const alone = await verify(ports({ gateway: cache.host, signatures: "cache" }));
    expect(alone.kind).to.equal("undecided");
    expect(messageIn(alone)).to.include("answered with other content than");
    const by = ports({ gateway: cache.host });
    expect(messageIn(await verify(by))).to.equal("it matched");
    expect(by.direct).to.deep.equal(["manifest ok", "blob ok"]);
  });

  it("the signature of another image is none, whatever tag the cache gives it", async () => {
    const others = `sha256-${digests["other"]?.slice("sha256:".length)}.sig`;
    const cache = await front(unchanged, (path) =>
      path.replace("/acme/app/", "/acme/other/").replace(/sha256-[0-9a-f]{64}\.sig/, others),
    );
    const alone = await verify(ports({ gateway: cache.host, signatures: "cache" }));
    expect(alone.kind).to.equal("failed");
    expect(messageIn(alone)).to.match(/^no matching signatures/);
    expect(messageIn(await verify(ports({ gateway: cache.host })))).to.equal("it matched");
  });

  it("a cache that says nothing has its turn once, and then the upstream is asked at once", async () => {
    const cache = await startFakeRegistry(() => undefined);
    perTest.add(() => cache.stop());
    const by = ports({ gateway: cache.host, turnMs: 2_000 });
    const tag = parseReference(`${host}/acme/app:v1`);
    expect(await by.resolve(tag, ANONYMOUS, within())).to.equal(digests["app"]);
    expect(messageIn(await verify(by))).to.equal("it matched");
    expect(cache.requests).to.have.length(1);
    const alone = ports({ gateway: cache.host, turnMs: 200, signatures: "cache" });
    const thrown = await alone.resolve(tag, ANONYMOUS, AbortSignal.timeout(300)).catch(String);
    expect(thrown).to.include("gave no complete answer in time");
  });

  it("a cache that is slow and an upstream that is down are each named once", async () => {
    const cache = await startFakeRegistry(() => undefined);
    perTest.add(() => cache.stop());
    const rules = [lookupRule("127.0.0.1:9/acme/*", "hub/*")];
    const by = lookupPorts(perTest, rules, { gateway: cache.host, turnMs: 100 });
    const digest = digests["app"] ?? "sha256:";
    const image = { reference: parseReference(`127.0.0.1:9/acme/app@${digest}`), digest };
    const outcome = await by.verify(image, keyAuthority([alice.publicKey]), ANONYMOUS, within());
    expect(outcome.kind).to.equal("undecided");
    expect(messageIn(outcome)).to.include("cannot talk to 127.0.0.1:9");
    expect(messageIn(outcome)).to.match(/; CacheRegistry "main" was asked too: no answer within 0.1 s$/);
  });

  it("a caller that gives up is not kept, and the upstream is not asked for it", async () => {
    const cache = await startFakeRegistry(() => undefined);
    perTest.add(() => cache.stop());
    const by = ports({ gateway: cache.host });
    const tag = parseReference(`${host}/acme/app:v1`);
    await by.resolve(tag, ANONYMOUS, AbortSignal.timeout(100)).catch(() => undefined);
    expect(by.direct).to.deep.equal([]);
  });

  describe("with a token", () => {
    let tokenFile: string;
    before(() => {
      const directory = mkdtempSync(join(tmpdir(), "entrepot-token-"));
      cleanup.add(() => rmSync(directory, { recursive: true, force: true }));
      tokenFile = join(directory, "token");
      writeFileSync(tokenFile, `${TOKEN}\n`);
    });

    it("it goes to the gateway alone: no other registry sees it, nor a host that the gateway names", async () => {
      const elsewhere = await startFakeRegistry((_request, response) => response.writeHead(404).end());
      perTest.add(() => elsewhere.stop());
      const cache = await startFakeRegistry((request, response) => {
        if (request.headers.authorization === undefined)
          return response.writeHead(401, { "www-authenticate": 'Basic realm="cache"' }).end();
        return response.writeHead(307, { location: `${elsewhere.origin}${request.url}` }).end();
      });
      perTest.add(() => cache.stop());
      const origin = await startFakeRegistry((_request, response) => response.writeHead(401).end());
      perTest.add(() => origin.stop());
      const rules = [lookupRule(`${origin.host}/acme/*`, "hub/*")];
      const by = lookupPorts(perTest, rules, { gateway: cache.host, tokenFile });
      const mine: Keychain = { forRepository: () => [{ username: "tenant", password: "tenants-own" }] };
      const message = String(
        await by.resolve(parseReference(`${origin.host}/acme/app:v1`), mine, within()).catch(String),
      );
      expect(message).to.include(origin.host).and.not.include("secret-of-the-webhook");
      const shown = cache.requests.map(({ authorization }) => authorization);
      expect(shown).to.include(`Basic ${base64(`entrepot:${TOKEN}`)}`);
      expect(JSON.stringify(shown)).not.to.include(base64("tenant:").slice(0, 8));
      for (const { authorization } of [...elsewhere.requests, ...origin.requests])
        expect(authorization ?? "").not.to.include(base64(`entrepot:${TOKEN}`));
      const bound = keychainFor(cache.host, { username: "entrepot", password: TOKEN });
      expect(bound.forRepository(elsewhere.host, "hub/app")).to.deep.equal([]);
      // An image that is written with the gateway's own host is asked for as whoever wants it.
      const before = cache.requests.length;
      await by.resolve(parseReference(`${cache.host}/hub/app:v1`), ANONYMOUS, within()).catch(() => undefined);
      expect(cache.requests.slice(before).map(({ authorization }) => authorization)).to.deep.equal([undefined]);
    });

    it("that can't be read, the cache decides nothing and the upstream is asked with both", async () => {
      const missing = { gateway: "127.0.0.1:9", tokenFile: `${tokenFile}-missing` };
      const alone = await verify(ports({ ...missing, signatures: "cache" }));
      expect(alone.kind).to.equal("undecided");
      expect(messageIn(alone)).to.include('CacheRegistry "main": the token for gateways can\'t be read');
      expect(messageIn(await verify(ports(missing)))).to.equal("it matched");
    });
  });

  describe("of another product", () => {
    const product = (name?: string) =>
      ({ zot: {}, ...(name !== undefined && { pullSecretRef: { name } }) }) as unknown as CacheRegistryObject["spec"];
    const secrets = {
      pull: {
        type: "kubernetes.io/basic-auth",
        data: { username: base64(TEST_USER.username), password: base64(TEST_USER.password) },
      },
    };

    it("the workload's credentials are tried first, then those of spec.pullSecretRef", async () => {
      const cache = await Distribution.start(perTest, { auth: true, upstream });
      const pullHost = `127.0.0.1:${cache.port}/acme`;
      const rule = lookupRule(`${host}/acme/*`, "*", "main", pullHost);
      const wrong: Keychain = { forRepository: () => [{ username: "test", password: "wrong" }] };
      const situation = { product: product("pull"), secrets, signatures: "cache" as const };
      expect(messageIn(await verify(lookupPorts(perTest, [rule], situation), wrong))).to.equal("it matched");
      const without = { ...situation, product: product() };
      const right: Keychain = { forRepository: () => [TEST_USER] };
      expect(messageIn(await verify(lookupPorts(perTest, [rule], without), right))).to.equal("it matched");
      expect((await verify(lookupPorts(perTest, [rule], without), wrong)).kind).to.equal("undecided");
      const gone = await verify(lookupPorts(perTest, [rule], { ...situation, secrets: {} }));
      expect(messageIn(gone)).to.include('Secret "pull" (spec.pullSecretRef of CacheRegistry "main")');
    });

    it("tags are the upstream's to say; the cache stands in when it gives no answer, and not for a tag it lacks", async () => {
      const asked: string[] = [];
      const cache = await front((path, body) => {
        asked.push(path);
        return body;
      });
      const tag = parseReference(`${host}/acme/app:v1`);
      const rule = lookupRule(`${host}/acme/*`, "hub/*", "main", cache.host);
      const by = lookupPorts(perTest, [rule], { product: product() });
      expect(await by.resolve(tag, ANONYMOUS, within())).to.equal(digests["app"]);
      const missing = parseReference(`${host}/acme/app:v9`);
      const answer = await by.resolve(missing, ANONYMOUS, within()).catch(String);
      const direct = lookupPorts(perTest, [], {}).resolve(missing, ANONYMOUS, within());
      expect(answer).to.equal(await direct.catch(String));
      expect(asked).to.deep.equal([]);

      const down = lookupRule("127.0.0.1:9/acme/*", "hub/*", "main", cache.host);
      const standIn = lookupPorts(perTest, [down], { product: product() });
      const away = parseReference("127.0.0.1:9/acme/app:v1");
      expect(await standIn.resolve(away, ANONYMOUS, within())).to.equal(digests["app"]);
    });
  });
});
