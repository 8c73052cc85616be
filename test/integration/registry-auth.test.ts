import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { expect } from "chai";
import type { RegistryClient } from "../../adapters/registry/client.ts";
import type { RegistryError } from "../../adapters/registry/errors.ts";
import type { Credentials, Keychain } from "../../core/policy/types.ts";
import { ANONYMOUS } from "../../core/registry/keychain.ts";
import { type Answering, body, endless, type FakeRegistry, redirect } from "../support/fake-registry.ts";
import { selfSigned } from "../support/self-signed.ts";
import { client, endAll, failure as failed, fake } from "./registry-harness.ts";

const MANIFEST = Buffer.from('{"schemaVersion":2}');
const DIGEST = `sha256:${createHash("sha256").update(MANIFEST).digest("hex")}` as const;
const ALICE = { username: "alice", password: "pässword-of-alice" };
const MALLORY = { username: "mallory", password: "password-of-mallory" };
const OK = body(200, MANIFEST);

const basicOf = ({ username, password }: Credentials): string =>
  `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
const keychain = (...credentials: Credentials[]): Keychain => ({ forRepository: () => credentials });

/** Asks for a token of `realm`; lets in whoever has one that `accepts`. */
function wantsToken(realm: () => string, accepts: (token: string) => boolean, extra = ""): Answering {
  return (request, response) => {
    const token = /^Bearer (.*)$/.exec(request.headers.authorization ?? "")?.[1];
    if (token !== undefined && accepts(token)) OK(request, response);
    else body(401, "", { "www-authenticate": `Bearer realm="${realm()}",service="s"${extra}` })(request, response);
  };
}

function token(value: unknown, more: object = {}): string {
  return JSON.stringify({ token: value, ...more });
}

describe("authentication to a registry", () => {
  afterEach(endAll);

  const get = (asking: RegistryClient, registry: FakeRegistry, keys: Keychain = ANONYMOUS, repository = "team/app") =>
    asking.manifest({ registry: registry.host, repository, keychain: keys }, DIGEST, AbortSignal.timeout(30_000));

  async function failure(work: Promise<unknown>): Promise<RegistryError> {
    const thrown = await failed(work);
    expect(thrown.message).not.to.contain("password");
    return thrown;
  }

  describe("by Basic", () => {
    const wantsBasic =
      (let_in: Credentials): Answering =>
      (request, response) =>
        (request.headers.authorization === basicOf(let_in)
          ? OK
          : body(401, "", { "www-authenticate": 'Basic realm="r"' }))(request, response);

    it("sends credentials only when asked, then at once", async () => {
      const registry = await fake(wantsBasic(ALICE));
      const asking = client();
      await get(asking, registry, keychain(ALICE));
      await get(asking, registry, keychain(ALICE));
      expect(registry.requests.map(({ authorization }) => authorization)).to.deep.equal([
        undefined,
        basicOf(ALICE),
        basicOf(ALICE),
      ]);
    });

    it("sends none to a registry that does not ask", async () => {
      const registry = await fake(OK);
      await get(client(), registry, keychain(ALICE));
      expect(registry.requests.map(({ authorization }) => authorization)).to.deep.equal([undefined]);
    });

    it("tries each of the keychain's credentials", async () => {
      const registry = await fake(wantsBasic(ALICE));
      expect((await get(client(), registry, keychain(MALLORY, ALICE))).digest).to.equal(DIGEST);
    });

    it("without any says which Secrets help; with wrong ones says that they were refused", async () => {
      const registry = await fake(wantsBasic(ALICE));
      const none = await failure(get(client(), registry));
      expect(none.code).to.equal("REGISTRY_UNAUTHORIZED");
      expect(none.message).to.contain("kubernetes.io/dockerconfigjson").and.to.contain("ServiceAccount");
      const wrong = await failure(get(client(), registry, keychain(MALLORY)));
      expect(wrong.code).to.equal("REGISTRY_UNAUTHORIZED");
      expect(wrong.message).to.contain("refused the credentials");
      expect((await failure(get(client(), await fake(body(403, "")), keychain(MALLORY)))).code).to.equal(
        "REGISTRY_FORBIDDEN",
      );
    });
  });

  describe("by token", () => {
    const issue =
      (value: (request: IncomingMessage) => unknown, more: object = {}): Answering =>
      (request, response) =>
        body(200, token(value(request), more))(request, response);

    it("asks once, for pull of the one repository whatever the registry suggests, and uses the token again", async () => {
      const service = await fake(issue(() => "t1"));
      const registry = await fake(
        wantsToken(
          () => `${service.origin}/token?x=1`,
          (given) => given === "t1",
          ',scope="repository:secret:pull,push"',
        ),
      );
      const asking = client();
      await Promise.all([1, 2, 3, 4].map(() => get(asking, registry, keychain(ALICE))));
      await get(asking, registry, keychain(ALICE));
      expect(service.requests.map(({ url, authorization }) => [url, authorization])).to.deep.equal([
        ["/token?x=1&service=s&scope=repository%3Ateam%2Fapp%3Apull", basicOf(ALICE)],
      ]);
    });

    it("asks anew for another repository and for other credentials", async () => {
      const service = await fake(issue((request) => `t${request.headers.authorization === undefined ? "" : "x"}`));
      const registry = await fake(
        wantsToken(
          () => `${service.origin}/token`,
          () => true,
        ),
      );
      const asking = client();
      await get(asking, registry);
      await get(asking, registry, ANONYMOUS, "team/other");
      await get(asking, registry, keychain(ALICE));
      await get(asking, registry, keychain(ALICE));
      expect(service.requests.map(({ authorization }) => authorization)).to.deep.equal([
        undefined,
        undefined,
        basicOf(ALICE),
      ]);
    });

    it("asks anew when the token is refused, once", async () => {
      let issued = 0;
      let valid = "t1";
      const service = await fake(issue(() => `t${++issued}`));
      const registry = await fake(
        wantsToken(
          () => `${service.origin}/token`,
          (given) => given === valid,
        ),
      );
      const asking = client();
      await get(asking, registry);
      valid = "t2";
      await get(asking, registry);
      expect(issued).to.equal(2);
      valid = "none";
      expect((await failure(get(asking, registry))).code).to.equal("REGISTRY_UNAUTHORIZED");
      expect(issued).to.equal(3);
    });

    it("does not keep a token that is about to expire", async () => {
      const service = await fake(issue(() => "t", { expires_in: 5 }));
      const registry = await fake(
        wantsToken(
          () => `${service.origin}/token`,
          () => true,
        ),
      );
      const asking = client();
      await get(asking, registry);
      await get(asking, registry);
      expect(service.requests).to.have.length(2);
    });

    const services: readonly [string, Answering, string][] = [
      ["no JSON", body(200, "<html>"), "RESPONSE_MALFORMED"],
      ["no token", body(200, "{}"), "RESPONSE_MALFORMED"],
      ["null", body(200, "null"), "RESPONSE_MALFORMED"],
      ["a token that is no token", body(200, token("a\r\nX-Injected: 1")), "RESPONSE_MALFORMED"],
      ["a token of a megabyte", body(200, token("a".repeat(1024 * 1024))), "RESPONSE_TOO_LARGE"],
      ["an endless body", endless(), "RESPONSE_TOO_LARGE"],
      ["a redirect", redirect("http://127.0.0.1:1/"), "RESPONSE_MALFORMED"],
      ["a refusal", body(401, '{"errors":[{"code":"UNAUTHORIZED","message":"no"}]}'), "REGISTRY_UNAUTHORIZED"],
      ["HTTP 500", body(500, ""), "REGISTRY_UNREACHABLE"],
    ];
    for (const [what, answering, code] of services) {
      it(`of a service that answers with ${what}: ${code}`, async () => {
        const service = await fake(answering);
        const registry = await fake(
          wantsToken(
            () => `${service.origin}/token`,
            () => true,
          ),
        );
        expect((await failure(get(client(), registry, keychain(ALICE)))).code).to.equal(code);
      });
    }

    describe("of a registry that wants the credentials elsewhere", () => {
      it("sends them nowhere, and says where it did not", async () => {
        const tls = selfSigned();
        const thief = await fake(
          issue(() => "t"),
          { tls, name: "127.0.0.1" },
        );
        const registry = await fake(
          wantsToken(
            () => `${thief.origin}/token`,
            () => true,
          ),
          { tls, name: "localhost" },
        );
        const asking = client({ ca: tls.cert, isPlainHttp: () => false });
        const error = await failure(get(asking, registry, keychain(ALICE)));
        expect(error.code).to.equal("REGISTRY_UNAUTHORIZED");
        expect(error.message).to.contain(thief.host);
        expect(thief.requests).to.deep.equal([]);
      });

      it("asks there without them when there are none", async () => {
        const tls = selfSigned();
        const other = await fake(
          issue(() => "t"),
          { tls, name: "127.0.0.1" },
        );
        const registry = await fake(
          wantsToken(
            () => `${other.origin}/token`,
            () => true,
          ),
          { tls, name: "localhost" },
        );
        await get(client({ ca: tls.cert, isPlainHttp: () => false }), registry);
        expect(other.requests.map(({ authorization }) => authorization)).to.deep.equal([undefined]);
      });

      it("asks no metadata address for anything", async () => {
        const tls = selfSigned();
        for (const realm of [
          "http://169.254.169.254/latest/meta-data",
          "https://169.254.169.254/",
          "https://[::ffff:169.254.169.254]/",
        ]) {
          const registry = await fake(
            wantsToken(
              () => realm,
              () => true,
            ),
            { tls, name: "localhost" },
          );
          const { code } = await failure(get(client({ ca: tls.cert, isPlainHttp: () => false }), registry));
          expect(code).to.be.oneOf(["RESPONSE_MALFORMED", "REGISTRY_UNREACHABLE"]);
        }
      });
    });
  });
});
