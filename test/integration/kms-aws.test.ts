import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { expect } from "chai";
import { createKms, type FetchPublicKey } from "../../adapters/kms/client.ts";
import { FakeHttps, json, type Reply } from "../support/fake-https.ts";
import { generatePem } from "../support/keys.ts";
import { kmsFailure, kmsSettings, withEnvironment } from "../support/kms.ts";

const ARN = "arn:aws:kms:eu-west-1:111122223333:alias/release";
const PEM = generatePem("P-256").publicKey;
const SECRET = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY";

/** FAKE of AWS KMS: the shapes are those of GetPublicKey in AWS's own model, and its own SDK reads them. It never ran against AWS. */
function publicKeyReply(usage = "SIGN_VERIFY"): Reply {
  const der = createPublicKey(PEM).export({ format: "der", type: "spki" }).toString("base64");
  return json(200, {
    KeyId: ARN,
    PublicKey: der,
    KeyUsage: usage,
    KeySpec: "ECC_NIST_P256",
    SigningAlgorithms: ["ECDSA_SHA_256"],
  });
}

const refusal = (type: string, status = 400): Reply => json(status, { __type: type, message: `body ${SECRET}` });

describe("A public key from AWS KMS (a fake of it, through AWS's SDK)", function () {
  this.timeout(120_000);
  const server = new FakeHttps();
  let restore: () => void = () => undefined;
  let fetch: FetchPublicKey;
  const { signal } = new AbortController();

  before(async () => {
    await server.start();
    restore = withEnvironment({
      AWS_ACCESS_KEY_ID: "AKIAIOSFODNN7EXAMPLE",
      AWS_SECRET_ACCESS_KEY: SECRET,
      AWS_SESSION_TOKEN: undefined,
      AWS_CONFIG_FILE: "/nonexistent",
      AWS_SHARED_CREDENTIALS_FILE: "/nonexistent",
      AWS_EC2_METADATA_DISABLED: "true",
    });
    fetch = createKms(kmsSettings({ aws: { ca: server.ca } }), 5_000);
  });
  beforeEach(() => {
    server.received.length = 0;
    server.answer = () => publicKeyReply();
  });
  after(async () => {
    restore();
    await server.stop();
  });

  it("is asked for by GetPublicKey, signed for the region of the ARN", async () => {
    expect(await fetch(`awskms://${server.host}/${ARN}`, signal)).to.equal(PEM);
    const [request, ...rest] = server.received;
    expect(rest).to.deep.equal([]);
    expect(request?.headers["x-amz-target"]).to.equal("TrentService.GetPublicKey");
    expect(request?.headers.authorization).to.contain("/eu-west-1/kms/aws4_request");
    expect(JSON.parse(request?.body ?? "")).to.deep.equal({ KeyId: ARN });
  });

  it("takes key ids and alias names in the region of the environment, and needs one", async () => {
    const uri = `awskms://${server.host}/alias/release`;
    const here = createKms(kmsSettings({ aws: { ca: server.ca, region: "us-east-2" } }), 5_000);
    expect(await here(uri, signal)).to.equal(PEM);
    expect(server.received[0]?.headers.authorization).to.contain("/us-east-2/kms/");
    expect(JSON.parse(server.received[0]?.body ?? "")).to.deep.equal({ KeyId: "alias/release" });
    expect(await kmsFailure("KMS_NOT_CONFIGURED", fetch(uri, signal))).to.contain("AWS_REGION");
  });

  const refusals = [
    ["NotFoundException", "KMS_KEY_NOT_FOUND"],
    ["AccessDeniedException", "KMS_FORBIDDEN"],
    ["DisabledException", "KMS_KEY_UNUSABLE"],
    ["KMSInvalidStateException", "KMS_KEY_UNUSABLE"],
    ["UnrecognizedClientException", "KMS_UNAUTHENTICATED"],
    ["SomethingNewException", "KMS_FAILED"],
  ] as const;
  for (const [type, code] of refusals) {
    it(`says ${code} for ${type}, and nothing of its body`, async () => {
      server.answer = () => refusal(type);
      const message = await kmsFailure(code, fetch(`awskms://${server.host}/${ARN}`, signal));
      expect(message).to.contain(type).and.not.contain(SECRET).and.not.contain("body");
    });
  }

  it("refuses a key that does not sign", async () => {
    server.answer = () => publicKeyReply("ENCRYPT_DECRYPT");
    expect(await kmsFailure("KMS_KEY_UNUSABLE", fetch(`awskms://${server.host}/${ARN}`, signal))).to.contain(
      "ENCRYPT_DECRYPT",
    );
  });

  it("refuses a key that nothing verifies with", async () => {
    const { publicKey } = generateKeyPairSync("ec", { namedCurve: "secp256k1" });
    const der = publicKey.export({ format: "der", type: "spki" }).toString("base64");
    server.answer = () => json(200, { KeyId: ARN, PublicKey: der, KeyUsage: "SIGN_VERIFY" });
    await kmsFailure("KMS_KEY_UNUSABLE", fetch(`awskms://${server.host}/${ARN}`, signal));
  });

  it("gives up an answer that is longer than any key", async () => {
    server.answer = () => json(200, { PublicKey: "A".repeat(1_000_000), KeyUsage: "SIGN_VERIFY" });
    expect(await kmsFailure("KMS_FAILED", fetch(`awskms://${server.host}/${ARN}`, signal))).to.contain("longer than");
  });

  it("gives up when nothing comes in time, and at once when the caller does", async () => {
    server.answer = () => ({ hang: true });
    const quick = createKms(kmsSettings({ aws: { ca: server.ca } }), 300);
    expect(await kmsFailure("KMS_TIMEOUT", quick(`awskms://${server.host}/${ARN}`, signal))).to.contain("0.3 s");
    const stop = new AbortController();
    const asked = fetch(`awskms://${server.host}/${ARN}`, stop.signal).catch((thrown: unknown) => thrown);
    stop.abort(new Error("gone"));
    expect(await asked).to.equal(stop.signal.reason);
  });

  it("says when it can't be reached, and does not believe just any certificate", async () => {
    const strict = createKms(kmsSettings(), 5_000);
    expect(await kmsFailure("KMS_UNREACHABLE", strict(`awskms://${server.host}/${ARN}`, signal))).to.match(
      /DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_VERIFY|SELF_SIGNED/,
    );
    expect(await kmsFailure("KMS_UNREACHABLE", fetch(`awskms://localhost:1/${ARN}`, signal))).to.contain(
      "ECONNREFUSED",
    );
  });
});
