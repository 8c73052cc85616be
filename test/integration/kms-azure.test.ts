import { createPublicKey } from "node:crypto";
import { expect } from "chai";
import { publicKeyOf } from "../../adapters/kms/azure.ts";
import { createKms, type FetchPublicKey } from "../../adapters/kms/client.ts";
import { FakeHttps, json, type Received, type Reply } from "../support/fake-https.ts";
import { generatePem, type KeyKind } from "../support/keys.ts";
import { kmsFailure, kmsSettings, withEnvironment } from "../support/kms.ts";

const SECRET = "client-secret-of-a-test";
const TOKEN = "token-of-a-test";
const TENANT = "00000000-0000-0000-0000-000000000001";

/**
 * FAKE of Azure Key Vault and of Microsoft Entra ID: paths and shapes are those that Microsoft's own SDKs ask for and read. It never ran
 * against Azure.
 */
describe("A public key from Azure Key Vault (a fake of it, through Azure's SDK)", function () {
  this.timeout(120_000);
  const server = new FakeHttps();
  let restore: () => void = () => undefined;
  let fetch: FetchPublicKey;
  let vault: (request: Received) => Reply;
  const { signal } = new AbortController();

  function bundle(kind: KeyKind, kty: string): Reply {
    const jwk = createPublicKey(generatePem(kind).publicKey).export({ format: "jwk" });
    return json(200, { key: { kid: `https://${server.host}/keys/k/1`, ...jwk, kty }, attributes: { enabled: true } });
  }

  function login(path: string): Reply {
    const base = `https://${server.host}/${TENANT}`;
    if (path.includes("openid-configuration")) {
      return json(200, {
        issuer: `${base}/v2.0`,
        authorization_endpoint: `${base}/oauth2/v2.0/authorize`,
        token_endpoint: `${base}/oauth2/v2.0/token`,
        jwks_uri: `${base}/keys`,
      });
    }
    return json(200, { token_type: "Bearer", expires_in: 3600, access_token: TOKEN });
  }

  before(async () => {
    await server.start();
    restore = withEnvironment({
      AZURE_TENANT_ID: TENANT,
      AZURE_CLIENT_ID: "00000000-0000-0000-0000-000000000002",
      AZURE_CLIENT_SECRET: SECRET,
      AZURE_FEDERATED_TOKEN_FILE: undefined,
    });
    server.answer = (request) => {
      if (!request.path.startsWith("/keys/")) return login(request.path);
      if (request.headers.authorization !== `Bearer ${TOKEN}`) {
        const challenge = `Bearer authorization="https://${server.host}/${TENANT}", resource="https://vault.azure.net"`;
        return json(401, {}, { "www-authenticate": challenge });
      }
      return vault(request);
    };
    const azure = {
      ca: server.ca,
      authorityHost: `https://${server.host}`,
      disableChallengeResourceVerification: true,
    };
    fetch = createKms(kmsSettings({ azure }), 20_000);
  });
  beforeEach(() => {
    server.received.length = 0;
  });
  after(async () => {
    restore();
    await server.stop();
  });

  it("is that of the newest version, or of the one in the URI, with a token for the vault", async () => {
    const { publicKey } = generatePem("P-256");
    const kid = `https://${server.host}/keys/k/1`;
    vault = () => json(200, { key: { kid, ...createPublicKey(publicKey).export({ format: "jwk" }) } });
    expect(await fetch(`azurekms://${server.host}/k`, signal)).to.equal(publicKey);
    const keys = server.received.filter(({ path }) => path.startsWith("/keys/"));
    expect(keys.map(({ path }) => path.split("?")[0])).to.deep.equal(["/keys/k/", "/keys/k/"]);
    const token = server.received.find(({ path }) => path.includes("/oauth2/"));
    expect(token?.body).to.contain(encodeURIComponent("https://vault.azure.net/.default"));
    expect(await fetch(`azurekms://${server.host}/k/0a1b`, signal)).to.equal(publicKey);
    expect(server.received.at(-1)?.path).to.match(/^\/keys\/k\/0a1b\?/);
  });

  for (const [kind, kty] of [
    ["P-256", "EC-HSM"],
    ["P-384", "EC"],
    ["P-521", "EC"],
    ["rsa", "RSA"],
    ["rsa", "RSA-HSM"],
  ] as const) {
    it(`is read from a key of type ${kty} (${kind})`, async () => {
      vault = () => bundle(kind, kty);
      const key = createPublicKey(await fetch(`azurekms://${server.host}/k`, signal));
      expect(key.asymmetricKeyType).to.equal(kind === "rsa" ? "rsa" : "ec");
    });
  }

  it("is read from coordinates that lost their leading zeros", () => {
    for (;;) {
      const jwk = createPublicKey(generatePem("P-256").publicKey).export({ format: "jwk" });
      const x = Buffer.from(jwk.x ?? "", "base64url");
      if (x[0] !== 0) continue;
      const y = Buffer.from(jwk.y ?? "", "base64url");
      const pem = publicKeyOf({ kty: "EC", crv: "P-256", x: x.subarray(1), y });
      expect(createPublicKey(pem).export({ format: "jwk" })).to.deep.equal(jwk);
      return;
    }
  });

  it("refuses keys that sign no images", async () => {
    vault = () => json(200, { key: { kid: "https://v/keys/k/1", kty: "oct-HSM" } });
    await kmsFailure("KMS_KEY_UNUSABLE", fetch(`azurekms://${server.host}/k`, signal));
    vault = () => json(200, { key: { kid: "https://v/keys/k/1", kty: "EC", crv: "P-256K", x: "AA", y: "AA" } });
    await kmsFailure("KMS_KEY_UNUSABLE", fetch(`azurekms://${server.host}/k`, signal));
  });

  for (const [status, code] of [
    [403, "KMS_FORBIDDEN"],
    [404, "KMS_KEY_NOT_FOUND"],
    [400, "KMS_FAILED"],
  ] as const) {
    it(`says ${code} for HTTP status ${status}, and nothing of its body`, async () => {
      vault = () => json(status, { error: { code: "Forbidden", message: "secret body" } });
      const message = await kmsFailure(code, fetch(`azurekms://${server.host}/k`, signal));
      expect(message).to.contain(server.host).and.not.contain("secret body");
    });
  }

  it("sends no token to a vault that asks for one of somebody else", async () => {
    const azure = { ca: server.ca, authorityHost: `https://${server.host}` };
    const strict = createKms(kmsSettings({ azure }), 20_000);
    vault = () => bundle("P-256", "EC");
    await kmsFailure("KMS_FAILED", strict(`azurekms://${server.host}/k`, signal));
    expect(server.received.some(({ headers }) => headers.authorization !== undefined)).to.equal(false);
  });

  it("says that it can't be reached", async () => {
    expect(await kmsFailure("KMS_UNREACHABLE", fetch("azurekms://localhost:1/k", signal))).to.contain("ECONNREFUSED");
  });
});
