import { expect } from "chai";
import type { RegistryErrorCode } from "../../adapters/registry/errors.ts";
import { parseReference } from "../../core/image/reference.ts";
import { ANONYMOUS } from "../../core/registry/keychain.ts";
import { type Answering, body, breaking, dripping, endless, redirect, silence } from "../support/fake-registry.ts";
import { client, DIGEST, endAll, failure, fake, MANIFEST, MIB, sourceOf, within } from "./registry-harness.ts";

describe("a hostile or broken registry (a fake one)", () => {
  afterEach(endAll);

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
});

/** Answers with an error `times` times, then with the manifest. */
function failing(times: number, status: number, headers: Readonly<Record<string, string>> = {}): Answering {
  let left = times;
  return (request, response) => (left-- > 0 ? body(status, "", headers) : body(200, MANIFEST))(request, response);
}
