import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { createKms, type FetchPublicKey } from "../../adapters/kms/client.ts";
import { generatePem } from "../support/keys.ts";
import { kmsFailure, kmsSettings, withEnvironment } from "../support/kms.ts";

const KEY = "projects/p/locations/global/keyRings/r/cryptoKeys/k";
const OLD = generatePem("P-256").publicKey;
const NEW = generatePem("rsa").publicKey;

/** FAKE of Google Cloud KMS over REST: paths and shapes are those of Google's own protobufs, and its own SDK reads them. It never ran against Google. */
describe("A public key from Google Cloud KMS (a fake of it, through Google's SDK)", function () {
  this.timeout(120_000);
  let server: Server;
  let folder: string;
  let restore: () => void = () => undefined;
  let fetch: FetchPublicKey;
  let asked: string[] = [];
  let answer: (path: string) => { status: number; body: unknown };
  const { signal } = new AbortController();

  const versions = (...numbers: readonly number[]) => ({
    cryptoKeyVersions: numbers.map((number) => ({ name: `${KEY}/cryptoKeyVersions/${number}`, state: 1 })),
  });
  const publicKey = (pem: string, algorithm = 12) => ({ status: 200, body: { pem, algorithm } }); // EC_SIGN_P256_SHA256
  const refusal = (status: number, name: string) => ({
    status,
    body: { error: { code: status, message: "secret body", status: name } },
  });

  before(async () => {
    server = createServer((request, response) => {
      asked.push(`${request.method} ${request.url} ${(request.headers.authorization ?? "").slice(0, 9)}`);
      const { status, body } = answer(request.url ?? "");
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    folder = mkdtempSync(join(tmpdir(), "entrepot-kms-"));
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const credentials = join(folder, "credentials.json");
    writeFileSync(
      credentials,
      JSON.stringify({
        type: "service_account",
        project_id: "p",
        client_email: "operator@p.iam.gserviceaccount.com",
        private_key: privateKey.export({ type: "pkcs8", format: "pem" }),
      }),
    );
    restore = withEnvironment({ GOOGLE_APPLICATION_CREDENTIALS: credentials });
    fetch = createKms(kmsSettings({ google: { endpoint: { host: "127.0.0.1", port, protocol: "http" } } }), 10_000);
  });
  beforeEach(() => {
    asked = [];
  });
  after(() => {
    restore();
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it("is that of the version in the URI, asked for once", async () => {
    answer = () => publicKey(OLD);
    expect(await fetch(`gcpkms://${KEY}/cryptoKeyVersions/3`, signal)).to.equal(OLD);
    expect(asked).to.have.length(1);
    expect(asked[0]).to.contain(`GET /v1/${KEY}/cryptoKeyVersions/3/publicKey`).and.contain("Bearer");
    expect(await fetch(`gcpkms://${KEY}/versions/3`, signal)).to.equal(OLD);
  });

  it("is that of the newest enabled version without one, by number", async () => {
    answer = (path) => {
      if (path.includes("/10/publicKey")) return publicKey(NEW, 5);
      return path.includes("/publicKey") ? publicKey(OLD) : { status: 200, body: versions(9, 10, 2) };
    };
    expect(await fetch(`gcpkms://${KEY}`, signal)).to.equal(NEW);
    expect(asked[0]).to.contain("state%3DENABLED");
  });

  it("refuses a key without an enabled version, and one that does not sign", async () => {
    answer = () => ({ status: 200, body: {} });
    expect(await kmsFailure("KMS_KEY_NOT_FOUND", fetch(`gcpkms://${KEY}`, signal))).to.contain("no enabled version");
    answer = () => publicKey(NEW, 8); // RSA_DECRYPT_OAEP_2048_SHA256
    expect(await kmsFailure("KMS_KEY_UNUSABLE", fetch(`gcpkms://${KEY}/versions/1`, signal))).to.contain("DECRYPT");
  });

  const refusals = [
    [403, "PERMISSION_DENIED", "KMS_FORBIDDEN"],
    [404, "NOT_FOUND", "KMS_KEY_NOT_FOUND"],
    [401, "UNAUTHENTICATED", "KMS_UNAUTHENTICATED"],
    [400, "FAILED_PRECONDITION", "KMS_KEY_UNUSABLE"],
    [500, "INTERNAL", "KMS_FAILED"],
  ] as const;
  for (const [status, name, code] of refusals) {
    it(`says ${code} for ${name}, and nothing of its body`, async () => {
      answer = () => refusal(status, name);
      expect(await kmsFailure(code, fetch(`gcpkms://${KEY}/versions/1`, signal))).to.not.contain("secret body");
    });
  }
});
