import { expect } from "chai";
import { createKms } from "../../adapters/kms/client.ts";
import { KmsError } from "../../adapters/kms/errors.ts";
import { parseKmsUri } from "../../adapters/kms/uri.ts";
import { kmsFailure, kmsSettings } from "../support/kms.ts";

const ID = "1234abcd-12ab-34cd-56ef-1234567890ab";
const ARN = "arn:aws:kms:us-east-2:111122223333:";
const CRYPTO_KEY = "projects/p/locations/global/keyRings/r/cryptoKeys/k";

// The examples of sigstore's packages aws, azure, gcp and hashivault (pkg/signature/kms), and what their tests refuse.
const GOOD: Readonly<Record<string, object>> = {
  [`awskms:///${ID}`]: { provider: "awskms", keyId: ID },
  [`awskms:///mrk-${ID.replaceAll("-", "")}`]: { provider: "awskms", keyId: `mrk-${ID.replaceAll("-", "")}` },
  [`awskms://localhost:4566/${ID}`]: { provider: "awskms", keyId: ID, endpoint: "localhost:4566" },
  [`awskms:///${ARN}key/${ID}`]: { provider: "awskms", keyId: `${ARN}key/${ID}`, region: "us-east-2" },
  [`awskms://[::1]:4566/${ARN}key/${ID}`]: {
    provider: "awskms",
    keyId: `${ARN}key/${ID}`,
    region: "us-east-2",
    endpoint: "[::1]:4566",
  },
  "awskms:///alias/ExampleAlias": { provider: "awskms", keyId: "alias/ExampleAlias" },
  [`awskms:///${ARN}alias/a/b`]: { provider: "awskms", keyId: `${ARN}alias/a/b`, region: "us-east-2" },
  "azurekms://v.vault.azure.net/k": { provider: "azurekms", vaultUrl: "https://v.vault.azure.net", name: "k" },
  "azurekms://v.vault.azure.net/k/": { provider: "azurekms", vaultUrl: "https://v.vault.azure.net", name: "k" },
  "azurekms://v.vault.azure.net/k/0a1b": {
    provider: "azurekms",
    vaultUrl: "https://v.vault.azure.net",
    name: "k",
    version: "0a1b",
  },
  [`gcpkms://${CRYPTO_KEY}`]: { provider: "gcpkms", cryptoKey: CRYPTO_KEY },
  [`gcpkms://${CRYPTO_KEY}/versions/2`]: { provider: "gcpkms", cryptoKey: CRYPTO_KEY, version: "2" },
  [`gcpkms://${CRYPTO_KEY}/cryptoKeyVersions/2`]: { provider: "gcpkms", cryptoKey: CRYPTO_KEY, version: "2" },
  "hashivault://a.b-c_d": { provider: "hashivault", name: "a.b-c_d" },
};

const BAD = [
  "",
  "fookms://x",
  "awskms://",
  `awskms://${ID}`,
  `awskms://${ARN}key/${ID}`,
  `awskms:///key/${ID}`,
  "awskms:///arn:butnotvalid",
  `awskms://user@evil.example/${ID}`,
  `awskms://a.example?x/${ID}`,
  "azurekms://v.vault.azure.net",
  "azurekms://v.vault.azure.net/k/V1",
  "azurekms://v.vault.azure.net/k/1/2",
  "azurekms://user:secret@v.vault.azure.net/k",
  "gcpkms://projects/p/locations/global/keyRings/r",
  `gcpkms://${CRYPTO_KEY}/versions`,
  `gcpkms://${CRYPTO_KEY}?x=y`,
  "hashivault://a/b",
  "hashivault://../sys",
  "hashivault://-a",
  "hashivault://",
];

describe("The URI of a key in a KMS", () => {
  for (const [uri, key] of Object.entries(GOOD))
    it(`is read from ${uri}`, () => expect(parseKmsUri(uri)).to.deep.equal(key));

  for (const uri of BAD) {
    it(`is not read from ${JSON.stringify(uri)}`, () =>
      expect(() => parseKmsUri(uri))
        .to.throw(KmsError)
        .with.property("code", "KMS_URI_INVALID"));
  }

  it("is refused with the form that its provider wants", async () => {
    const fetch = createKms(kmsSettings());
    const message = await kmsFailure("KMS_URI_INVALID", fetch("hashivault://a/b", new AbortController().signal));
    expect(message).to.contain("hashivault://<key>");
  });
});
