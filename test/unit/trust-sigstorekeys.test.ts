import { createHash, createPublicKey, X509Certificate } from "node:crypto";
import { expect } from "chai";
import { trustedRootOfKeys } from "../../core/trust/sigstorekeys.ts";
import type { CertificateAuthority, SigstoreKeys, TransparencyLog } from "../../crds/types.ts";
import { generatePem } from "../support/keys.ts";
import { authorityPem, publicPem } from "../support/trusted-root.ts";

const base64 = (text: string) => Buffer.from(text).toString("base64");
const ROOT = authorityPem();
const INTERMEDIATE = authorityPem();
const RSA = publicPem("rsa");
const ca = (change: Partial<CertificateAuthority> = {}): CertificateAuthority => ({
  subject: { organization: "an organization", commonName: "a name" },
  uri: "https://fulcio.example",
  certChain: base64(INTERMEDIATE + ROOT),
  ...change,
});
const log = (pem: string, change: Partial<TransparencyLog> = {}): TransparencyLog => ({
  baseURL: "https://rekor.example",
  hashAlgorithm: "sha-256",
  publicKey: base64(pem),
  ...change,
});
const der = (pem: string) => createPublicKey(pem).export({ type: "spki", format: "der" });
const certificate = (pem: string) => ({ rawBytes: new X509Certificate(pem).raw.toString("base64") });

interface Log {
  readonly publicKey: { readonly keyDetails?: string; readonly validFor: unknown };
  readonly logId: { readonly keyId: string };
  readonly checkpointKeyId?: { readonly keyId: string };
  readonly hashAlgorithm?: string;
}
const converted = (keys: SigstoreKeys) =>
  JSON.parse(trustedRootOfKeys(keys)) as { tlogs: [Log]; ctlogs: [Log]; certificateAuthorities: object[] };

function why(keys: SigstoreKeys): string {
  try {
    return `taken: ${trustedRootOfKeys(keys)}`;
  } catch (thrown) {
    expect(thrown).to.include({ code: "TRUST_ROOT_INVALID", terminal: true });
    return (thrown as Error).message;
  }
}

describe("Keys of one's own as a trusted root", () => {
  it("have the paths that policy-controller gives them", () => {
    const [tlog, ctlog] = [publicPem("P-256"), publicPem("P-384")];
    const always = { start: "1970-01-01T00:00:00Z" };
    const logOf = (pem: string, baseUrl: string, keyDetails: string) => ({
      baseUrl,
      hashAlgorithm: "SHA2_256",
      publicKey: { rawBytes: der(pem).toString("base64"), keyDetails, validFor: always },
      logId: { keyId: createHash("sha256").update(der(pem)).digest("base64") },
    });
    const authority = {
      subject: { organization: "an organization", commonName: "a name" },
      uri: "https://fulcio.example",
      certChain: { certificates: [certificate(INTERMEDIATE), certificate(ROOT)] },
      validFor: always,
    };
    const keys: SigstoreKeys = {
      certificateAuthorities: [ca()],
      tLogs: [log(tlog)],
      ctLogs: [log(ctlog, { baseURL: "https://ctfe.example", hashAlgorithm: "sha256" })],
      timestampAuthorities: [ca({ uri: "https://tsa.example" })],
    };
    expect(converted(keys)).to.eql({
      mediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
      tlogs: [logOf(tlog, "https://rekor.example", "PKIX_ECDSA_P256_SHA_256")],
      certificateAuthorities: [authority],
      ctlogs: [logOf(ctlog, "https://ctfe.example", "PKIX_ECDSA_P384_SHA_384")],
      timestampAuthorities: [{ ...authority, uri: "https://tsa.example" }],
    });
  });

  it("are trusted in the periods that they are given", () => {
    const validFor = { start: "2026-01-01T00:00:00Z", end: "2027-01-01T00:00:00Z" };
    const root = converted({
      certificateAuthorities: [ca({ validFor })],
      tLogs: [log(publicPem(), { validFor: { end: validFor.end } })],
    });
    expect(root.certificateAuthorities[0]).to.deep.include({ validFor });
    expect(root.tlogs[0].publicKey.validFor).to.eql({ start: "1970-01-01T00:00:00Z", end: validFor.end });
  });

  const DETAILS = {
    "P-256": "PKIX_ECDSA_P256_SHA_256",
    "P-384": "PKIX_ECDSA_P384_SHA_384",
    "P-521": "PKIX_ECDSA_P521_SHA_512",
    ed25519: "PKIX_ED25519",
    rsa: "PKIX_RSA_PKCS1V15_2048_SHA256",
  } as const;
  for (const [kind, details] of Object.entries(DETAILS) as [keyof typeof DETAILS, string][]) {
    it(`may be ${kind} for a log of certificates`, () => {
      expect(
        converted({ ctLogs: [log(kind === "rsa" ? RSA : publicPem(kind))] }).ctlogs[0].publicKey.keyDetails,
      ).to.equal(details);
    });
  }

  it("may be Ed25519 for a log of signatures, whose entries Rekor v2 marks with the ID of its checkpoints' key", () => {
    // Rekor v2 of the public-good instance: what its own trusted root says of it.
    const spki = "MCowBQYDK2VwAyEAt8rlp1knGwjfbcXAYPYAkn0XiLz1x8O4t0YkEhie244=";
    const pem = `-----BEGIN PUBLIC KEY-----\n${spki}\n-----END PUBLIC KEY-----\n`;
    const { tlogs } = converted({ tLogs: [log(pem, { baseURL: "https://log2025-1.rekor.sigstore.dev" })] });
    expect(tlogs[0].checkpointKeyId?.keyId).to.equal("zxGZFVvd0FEmjR8WrFwMdcAJ9vtaY/QXf44Y1wUeP6A=");
    expect(tlogs[0].logId.keyId).to.equal(createHash("sha256").update(Buffer.from(spki, "base64")).digest("base64"));
    expect(converted({ tLogs: [log(publicPem())] }).tlogs[0]).to.not.have.property("checkpointKeyId");
  });

  it("have no hash algorithm that policy-controller does not know", () => {
    expect(converted({ tLogs: [log(publicPem(), { hashAlgorithm: "SHA-512" })] }).tlogs[0].hashAlgorithm).to.equal(
      "SHA2_512",
    );
    expect(converted({ tLogs: [log(publicPem(), { hashAlgorithm: "md5" })] }).tlogs[0]).to.not.have.property(
      "hashAlgorithm",
    );
  });

  it("are refused by field when they can't be read", () => {
    const at = (list: string, field: string) => `spec.sigstoreKeys.${list}[1].${field}: `;
    const chain = (certChain: string) => why({ certificateAuthorities: [ca(), ca({ certChain })] });
    const where = at("certificateAuthorities", "certChain");
    expect(chain("???")).to.equal(`${where}illegal base64 data`);
    expect(chain(base64("no PEM"))).to.equal(`${where}there is no certificate in PEM`);
    expect(chain(base64(ROOT + publicPem()))).to.equal(`${where}a PEM block is no certificate, or is cut off`);
    expect(chain(base64(ROOT + INTERMEDIATE.slice(0, 200)))).to.contain("a PEM block is no certificate");
    expect(chain(base64(ROOT.replace(/M.{30}/, "")))).to.equal(`${where}certificate 1 can't be read`);
    expect(chain(base64(ROOT.repeat(17)))).to.equal(`${where}there are more than 16 certificates`);
    const key = (pem: string) => why({ tLogs: [log(publicPem()), log(pem)] });
    const logWhere = at("tLogs", "publicKey");
    expect(key(RSA)).to.equal(`${logWhere}the key is rsa, and logs of signatures sign with ECDSA or Ed25519`);
    expect(key(ROOT)).to.contain(`${logWhere}a PEM block is "CERTIFICATE"`);
    const secret = generatePem("P-256").privateKey;
    expect(key(secret)).to.contain(`${logWhere}a PEM block is "PRIVATE KEY"`).and.not.contain(secret.split("\n")[1]);
  });
});
