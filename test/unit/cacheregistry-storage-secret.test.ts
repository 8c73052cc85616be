import { expect } from "chai";
import fc from "fast-check";
import { readStorageCredentials, storageSecretName } from "../../core/cacheregistry/storage.ts";
import type { InClusterStorage } from "../../core/cacheregistry/types.ts";

const b64 = (text: string) => Buffer.from(text).toString("base64");
const KEY = JSON.stringify({ type: "service_account", client_email: "a@b.example", private_key: "PRIVATE-PART" });
const S3: InClusterStorage = { s3: { bucket: "cache", region: "eu-central-1" } };
const AZURE: InClusterStorage = { azure: { accountName: "acct", container: "cache" } };
const GCS: InClusterStorage = { gcs: { bucket: "cache" } };
const named = { secretRef: { name: "store" } };

describe("the storage's Secret", () => {
  const secret = (data: Record<string, string>) => ({
    metadata: { name: "store" },
    data: Object.fromEntries(Object.entries(data).map(([key, value]) => [key, b64(value)])),
  });
  const s3 = { s3: { bucket: "cache", region: "eu-central-1", ...named } };
  const azure = { azure: { accountName: "acct", container: "cache", ...named } };
  const gcs = { gcs: { bucket: "cache", ...named } };

  it("is read for each kind of storage", () => {
    const read = (storage: InClusterStorage, data: Record<string, string>) =>
      readStorageCredentials(storage, secret(data));
    expect(read(s3, { accessKeyId: "AKIA", secretAccessKey: "x/y+z" })).to.deep.equal({
      kind: "credentials",
      credentials: { kind: "s3", accessKeyId: "AKIA", secretAccessKey: "x/y+z" },
    });
    expect(read(azure, { accountKey: "a2V5a2V5Cg==" })).to.deep.equal({
      kind: "credentials",
      credentials: { kind: "azure", accountKey: "a2V5a2V5Cg==" },
    });
    expect(read(gcs, { "key.json": KEY })).to.deep.equal({
      kind: "credentials",
      credentials: { kind: "gcs", keyJson: KEY },
    });
  });

  it("is not needed where the Pods have an identity, or files", () => {
    for (const storage of [S3, AZURE, GCS, { emptyDir: {} }]) {
      expect(storageSecretName(storage)).to.equal(undefined);
      expect(readStorageCredentials(storage, undefined)).to.deep.equal({ kind: "none" });
    }
  });

  const bad: readonly { name: string; storage: InClusterStorage; data?: Record<string, string>; message: RegExp }[] = [
    { name: "no Secret", storage: s3, message: /Secret "store" for storage does not exist in the system namespace/ },
    { name: "a key missing", storage: s3, data: { accessKeyId: "AKIA" }, message: /has no key secretAccessKey/ },
    { name: "an empty key", storage: azure, data: { accountKey: "" }, message: /has no key accountKey/ },
    {
      name: "a newline at the end",
      storage: s3,
      data: { accessKeyId: "AKIA", secretAccessKey: "x\n" },
      message: /secretAccessKey has white space or a control character/,
    },
    { name: "an account key that is none", storage: azure, data: { accountKey: "%%%" }, message: /not base64/ },
    { name: "a key file that is no JSON", storage: gcs, data: { "key.json": "{" }, message: /not the key of a Google/ },
    {
      name: "a key file of a person",
      storage: gcs,
      data: { "key.json": JSON.stringify({ type: "authorized_user" }) },
      message: /type service_account/,
    },
    { name: "too many bytes", storage: gcs, data: { "key.json": "x".repeat(80_000) }, message: /larger than/ },
  ];
  for (const { name, storage, data, message } of bad) {
    it(`is refused with a reason for ${name}`, () => {
      const read = readStorageCredentials(storage, data === undefined ? undefined : secret(data));
      expect(read.kind).to.equal("problem");
      expect(read.kind === "problem" && read.message).to.match(message);
    });
  }

  it("is never quoted in what is said about it", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 6, unit: "binary-ascii" }), (value) => {
        const data = { accessKeyId: value, secretAccessKey: `${value}\n`, accountKey: value, "key.json": value };
        for (const storage of [s3, azure, gcs]) {
          const read = readStorageCredentials(storage, secret(data));
          if (read.kind === "problem") expect(read.message).to.not.contain(value);
        }
      }),
    );
  });
});
