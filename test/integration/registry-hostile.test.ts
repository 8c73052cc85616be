import { createHash } from "node:crypto";
import { expect } from "chai";
import {
  createRegistryClient,
  type RegistryClient,
  type RegistryClientOptions,
} from "../../adapters/registry/client.ts";
import { RegistryError, type RegistryErrorCode } from "../../adapters/registry/errors.ts";
import { type Digest, parseReference } from "../../core/image/reference.ts";
import type { AuthorityOutcome } from "../../core/policy/types.ts";
import { ANONYMOUS } from "../../core/registry/keychain.ts";
import { OCI_INDEX, OCI_MANIFEST, SIMPLE_SIGNING } from "../../core/registry/media-types.ts";
import {
  type Answering,
  body,
  breaking,
  dripping,
  endless,
  type FakeRegistry,
  type FakeRegistryOptions,
  redirect,
  silence,
  startFakeRegistry,
} from "../support/fake-registry.ts";
import { generatePem } from "../support/keys.ts";
import { selfSigned } from "../support/self-signed.ts";
import { keyAuthority, verifierOf } from "../support/verifying.ts";

const MANIFEST = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, layers: [] }));
const sha256 = (bytes: Buffer): Digest => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
const DIGEST = sha256(MANIFEST);
const MIB = 1024 * 1024;

let running: { stop(): Promise<void> }[] = [];

async function fake(answering: Answering, options: FakeRegistryOptions = {}): Promise<FakeRegistry> {
  const registry = await startFakeRegistry(answering, options);
  running.push(registry);
  return registry;
}

function client(options: RegistryClientOptions = {}): RegistryClient {
  const made = createRegistryClient({ attemptMs: 20_000, ...options });
  running.push({ stop: () => made.close() });
  return made;
}

async function failure(work: Promise<unknown>): Promise<RegistryError> {
  try {
    await work;
  } catch (thrown) {
    expect(thrown, String(thrown)).to.be.instanceOf(RegistryError);
    return thrown as RegistryError;
  }
  throw new Error("it did not fail");
}

const within = (ms = 30_000): AbortSignal => AbortSignal.timeout(ms);
const sourceOf = (registry: { host: string }) => ({
  registry: registry.host,
  repository: "team/app",
  keychain: ANONYMOUS,
});

describe("a hostile or broken registry (a fake one)", () => {
  afterEach(async () => {
    await Promise.all(running.map((one) => one.stop()));
    running = [];
  });

  type Row = readonly [what: string, answering: Answering, code: RegistryErrorCode];
  const rows: readonly Row[] = [
    ["an endless body", endless(), "RESPONSE_TOO_LARGE"],
    [
      "an endless body with an honest length",
      endless(200, { "content-length": String(1024 * MIB) }),
      "RESPONSE_TOO_LARGE",
    ],
    ["a body that drips for ever", dripping(20), "REGISTRY_TIMEOUT"],
    ["no answer at all", silence, "REGISTRY_TIMEOUT"],
    [
      "headers without end",
      body(200, "x", Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`x-${i}`, "y".repeat(1000)]))),
      "RESPONSE_TOO_LARGE",
    ],
    ["other content than the digest asked for", body(200, '{"schemaVersion":2}'), "DIGEST_MISMATCH"],
    ["a redirect to another host", redirect("http://127.0.0.1:1/v2/"), "REGISTRY_REDIRECT"],
    ["a redirect to itself for ever", redirect("/again"), "REGISTRY_REDIRECT"],
    ["a redirect to nowhere", body(307, ""), "REGISTRY_REDIRECT"],
    ["an endless error body", endless(500), "REGISTRY_UNREACHABLE"],
    ["HTTP 503 for ever", body(503, ""), "REGISTRY_UNREACHABLE"],
    ["HTTP 429", body(429, "", { "retry-after": "3600" }), "REGISTRY_THROTTLED"],
    ["HTTP 429 with a date", body(429, "", { "retry-after": "Fri, 31 Dec 1999 23:59:59 GMT" }), "REGISTRY_THROTTLED"],
    ["HTTP 204", body(204, ""), "RESPONSE_MALFORMED"],
    ["HTTP 418", body(418, ""), "RESPONSE_MALFORMED"],
    ["NAME_UNKNOWN", body(404, '{"errors":[{"code":"NAME_UNKNOWN","message":"no"}]}'), "NAME_UNKNOWN"],
    ["HTTP 404 with a page", body(404, "<html>"), "MANIFEST_UNKNOWN"],
    ["HTTP 401 without a challenge", body(401, ""), "REGISTRY_UNAUTHORIZED"],
    [
      "HTTP 401 with a malformed challenge",
      body(401, "", { "www-authenticate": 'Bearer realm="x' }),
      "RESPONSE_MALFORMED",
    ],
    [
      "a realm that is no https",
      body(401, "", { "www-authenticate": 'Bearer realm="http://169.254.169.254/latest"' }),
      "RESPONSE_MALFORMED",
    ],
    ["connections that break", breaking(100, body(200, MANIFEST)), "REGISTRY_UNREACHABLE"],
    ["something that is no HTTP", (request) => void request.socket.end("SSH-2.0-OpenSSH\r\n"), "RESPONSE_MALFORMED"],
    [
      "half a body",
      (_request, response) => {
        response.writeHead(200, { "content-length": "100" });
        response.write("{");
        response.destroy();
      },
      "REGISTRY_UNREACHABLE",
    ],
  ];
  for (const [what, answering, code] of rows) {
    it(`that answers with ${what}: ${code}, soon, and names the repository`, async () => {
      const registry = await fake(answering);
      const patience = code === "REGISTRY_TIMEOUT" ? { attemptMs: 400 } : {};
      const started = performance.now();
      const error = await failure(client(patience).manifest(sourceOf(registry), DIGEST, within()));
      expect(error.code, error.message).to.equal(code);
      expect(error.message).to.contain(`${registry.host}/team/app: `);
      expect(performance.now() - started, "and not when the caller's time was over").to.be.below(20_000);
      expect(registry.bytesWritten()).to.be.below(32 * MIB);
    });
  }

  it("that is not there: an error that names it", async () => {
    const error = await failure(client().manifest(sourceOf({ host: "127.0.0.1:1" }), "latest", within()));
    expect(error.code).to.equal("REGISTRY_UNREACHABLE");
    expect(error.message).to.contain("127.0.0.1:1/team/app: ").and.to.contain("ECONNREFUSED");
  });

  it("has no more time than the caller", async () => {
    const registry = await fake(silence);
    const started = performance.now();
    const error = await failure(client({ attemptMs: 60_000 }).manifest(sourceOf(registry), DIGEST, within(150)));
    expect(error.code).to.equal("REGISTRY_TIMEOUT");
    expect(performance.now() - started).to.be.below(30_000);
  });

  it("that recovers is asked again: broken connections, 502 to 504, 429 with a short Retry-After", async () => {
    for (const answering of [
      breaking(2, body(200, MANIFEST)),
      failing(2, 503),
      failing(1, 429, { "retry-after": "0" }),
    ]) {
      const registry = await fake(answering);
      expect((await client().manifest(sourceOf(registry), DIGEST, within())).digest).to.equal(DIGEST);
    }
  });

  it("cannot put words, escape sequences or a secret into messages", async () => {
    const message = `nope\u001b[2J\r\nInjected: line ${"x".repeat(5000)}`;
    const registry = await fake(body(404, JSON.stringify({ errors: [{ code: "MANIFEST_UNKNOWN", message }] })));
    const error = await failure(client().manifest(sourceOf(registry), DIGEST, within()));
    expect(error.message)
      .to.match(/^[\x20-\x7e…]+$/)
      .and.to.contain("nope");
    expect(error.message.length).to.be.below(500);
    const page = await fake(body(500, "<html>internal-secret-page</html>"));
    expect((await failure(client().manifest(sourceOf(page), DIGEST, within()))).message).not.to.contain(
      "internal-secret-page",
    );
  });

  it("keeps memory flat, however many endless bodies it sends", async () => {
    const registry = await fake(endless());
    const asking = client();
    await failure(asking.manifest(sourceOf(registry), DIGEST, within()));
    globalThis.gc?.();
    const before = process.memoryUsage().rss;
    for (let round = 0; round < 20; round++) {
      await Promise.all([1, 2].map(() => failure(asking.blob(sourceOf(registry), DIGEST, 64 * 1024, within()))));
    }
    expect(process.memoryUsage().rss - before).to.be.below(64 * MIB);
  });

  describe("that tells a wrong digest", () => {
    it("in the header of a GET by tag is refused", async () => {
      const registry = await fake(body(200, MANIFEST, { "docker-content-digest": `sha256:${"0".repeat(64)}` }));
      expect((await failure(client().manifest(sourceOf(registry), "latest", within()))).code).to.equal(
        "DIGEST_MISMATCH",
      );
    });

    it("of no known form in the header of a HEAD is not believed: the manifest itself is read", async () => {
      const registry = await fake(body(200, MANIFEST, { "docker-content-digest": "sha512:0" }));
      expect(await client().resolve(parseReference(`${registry.host}/a:1`), ANONYMOUS, within())).to.equal(DIGEST);
      expect(registry.requests.map(({ method }) => method)).to.deep.equal(["HEAD", "GET"]);
    });

    it("for a blob is refused", async () => {
      const registry = await fake(body(200, "other"));
      expect((await failure(client().blob(sourceOf(registry), DIGEST, 100, within()))).code).to.equal(
        "DIGEST_MISMATCH",
      );
    });
  });

  describe("that redirects", () => {
    const blobs =
      (to: () => string): Answering =>
      (request, response) =>
        redirect(to())(request, response);

    it("a blob to another host: followed over https, without the credentials", async () => {
      const tls = selfSigned();
      const storage = await fake(body(200, MANIFEST), { tls, name: "localhost" });
      const registry = await fake(
        (request, response) => {
          if (request.headers.authorization === undefined)
            body(401, "", { "www-authenticate": "Basic" })(request, response);
          else redirect(`${storage.origin}/bucket?sig=1`)(request, response);
        },
        { tls, name: "localhost" },
      );
      const keychain = { forRepository: () => [{ username: "u", password: "p" }] };
      const asking = client({ ca: tls.cert, isPlainHttp: () => false });
      expect(await asking.blob({ ...sourceOf(registry), keychain }, DIGEST, 1000, within())).to.deep.equal(MANIFEST);
      expect(registry.requests.at(-1)?.authorization).to.match(/^Basic /);
      expect(storage.requests.map(({ authorization }) => authorization)).to.deep.equal([undefined]);
      expect((await failure(asking.manifest({ ...sourceOf(registry), keychain }, DIGEST, within()))).code).to.equal(
        "REGISTRY_REDIRECT",
      );
      expect(storage.requests).to.have.length(1);
    });

    it("a blob from https to http, or to a metadata address: not followed", async () => {
      const tls = selfSigned();
      for (const [to, code] of [
        ["http://127.0.0.1:1/x", "REGISTRY_REDIRECT"],
        ["https://169.254.169.254/latest/meta-data", "REGISTRY_UNREACHABLE"],
        ["https://[fd00:ec2::254]/latest", "REGISTRY_UNREACHABLE"],
      ] as const) {
        const registry = await fake(
          blobs(() => to),
          { tls, name: "localhost" },
        );
        const error = await failure(
          client({ ca: tls.cert, isPlainHttp: () => false }).blob(sourceOf(registry), DIGEST, 1000, within()),
        );
        expect(error.code, error.message).to.equal(code);
      }
    });

    it("a blob without TLS: only within itself", async () => {
      const other = await fake(body(200, MANIFEST));
      const leaving = await fake(redirect(`${other.origin}/x`));
      expect((await failure(client().blob(sourceOf(leaving), DIGEST, 1000, within()))).code).to.equal(
        "REGISTRY_REDIRECT",
      );
      expect(other.requests).to.deep.equal([]);
      const staying = await fake((request, response) =>
        (request.url === "/elsewhere" ? body(200, MANIFEST) : redirect("/elsewhere"))(request, response),
      );
      expect(await client().blob(sourceOf(staying), DIGEST, 1000, within())).to.deep.equal(MANIFEST);
    });
  });

  describe("that lists referrers", () => {
    const descriptor = { mediaType: OCI_MANIFEST, digest: DIGEST, size: 1 };
    const index = (manifests: readonly unknown[]) =>
      JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests });

    it("in pages without end: some are read, and that there is more is said", async () => {
      const registry = await fake(
        body(200, index([descriptor]), { link: `</v2/team/app/referrers/${DIGEST}?n=1>; rel="next"` }),
      );
      const { descriptors, complete } = await client().referrers(sourceOf(registry), DIGEST, within());
      expect(complete).to.equal(false);
      expect(descriptors.length).to.be.below(20);
      expect(registry.requests.length).to.equal(descriptors.length);
    });

    it("with a next page elsewhere: that host is never asked", async () => {
      const other = await fake(body(200, index([])));
      const registry = await fake(
        body(200, index([descriptor]), { link: `<${other.origin}/v2/team/app/referrers/${DIGEST}?n=1>; rel="next"` }),
      );
      await client().referrers(sourceOf(registry), DIGEST, within());
      expect(other.requests).to.deep.equal([]);
      const path = await fake(body(200, index([descriptor]), { link: '</v2/secret/tags/list>; rel="next"' }));
      expect((await failure(client().referrers(sourceOf(path), DIGEST, within()))).code).to.equal("RESPONSE_MALFORMED");
    });

    it("by the hundred thousand: the list is cut", async () => {
      const registry = await fake(body(200, index(Array.from({ length: 20_000 }, () => descriptor))));
      const { descriptors, complete } = await client().referrers(sourceOf(registry), DIGEST, within());
      expect([descriptors.length, complete]).to.deep.equal([1_000, false]);
    });

    it("as garbage: an error", async () => {
      const registry = await fake(body(200, "<html>"));
      expect((await failure(client().referrers(sourceOf(registry), DIGEST, within()))).code).to.equal(
        "RESPONSE_MALFORMED",
      );
    });
  });

  describe("asked for signatures", () => {
    const keys = [generatePem("P-256").publicKey];
    const authority = keyAuthority(keys);

    async function verify(registry: FakeRegistry, ms = 1_500): Promise<AuthorityOutcome> {
      const reference = parseReference(`${registry.host}/team/app@${DIGEST}`);
      return verifierOf(client())({ reference, digest: DIGEST }, authority, ANONYMOUS, within(ms));
    }

    for (const [what, answering] of [
      ["endless bodies", endless()],
      ["dripping bodies", dripping(20)],
      ["silence", silence],
      ["garbage", body(200, "<html>")],
      ["redirects to another host", redirect("http://127.0.0.1:1/")],
      ["HTTP 500", body(500, "")],
      ["HTTP 401", body(401, "")],
    ] as readonly [string, Answering][]) {
      it(`${what}: undecided within the deadline, naming the registry`, async () => {
        const registry = await fake(answering);
        const started = performance.now();
        const outcome = await verify(registry);
        expect(outcome.kind).to.equal("undecided");
        expect(outcome).to.have.property("message").that.contains(registry.host);
        expect(performance.now() - started).to.be.below(20_000);
      });
    }

    it("10,000 signature layers: few are fetched, none matches, and the message says how many there are", async () => {
      const payload = Buffer.from("{}");
      const layer = (i: number) => ({
        mediaType: SIMPLE_SIGNING,
        digest: i % 2 === 0 ? sha256(payload) : sha256(Buffer.from(String(i))),
        size: 2,
        annotations: { "dev.cosignproject.cosign/signature": Buffer.from(`signature ${i}`).toString("base64") },
      });
      const manifest = JSON.stringify({ schemaVersion: 2, layers: Array.from({ length: 10_000 }, (_, i) => layer(i)) });
      const registry = await fake((request, response) => {
        if (request.url?.includes("/manifests/") === true && request.url.endsWith(".sig"))
          body(200, manifest)(request, response);
        else if (request.url?.includes("/blobs/") === true) body(200, payload)(request, response);
        else body(404, "")(request, response);
      });
      globalThis.gc?.();
      const before = process.memoryUsage().rss;
      const outcome = await verify(registry, 10_000);
      expect(outcome.kind).to.equal("undecided");
      expect(outcome).to.have.property("message").that.contains("of 5001 different signed payloads");
      expect(registry.requests.length).to.be.below(50);
      expect(process.memoryUsage().rss - before).to.be.below(96 * MIB);
    });
  });
});

/** Answers with an error `times` times, then with the manifest. */
function failing(times: number, status: number, headers: Readonly<Record<string, string>> = {}): Answering {
  let left = times;
  return (request, response) => (left-- > 0 ? body(status, "", headers) : body(200, MANIFEST))(request, response);
}
