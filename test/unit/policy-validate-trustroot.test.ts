import { expect } from "chai";
import { formatErrors } from "../../core/policy/fielderror.ts";
import { trustRootErrors, validateTrustRoot } from "../../core/policy/validate-trustroot.ts";
import type { TrustRootSpec } from "../../crds/types.ts";

const base64 = (text: string | Uint8Array) => Buffer.from(text).toString("base64");
const ROOT = base64('{"signatures":[],"signed":{}}');
const GZIP = base64(Uint8Array.of(0x1f, 0x8b, 0x08, 0, 0, 0, 0, 0, 0, 3));
const SUBJECT = { organization: "o", commonName: "c" };
const ALL = "spec.remote, spec.repository, spec.sigstoreKeys";
const AUTHORITIES = "spec.sigstoreKeys.certificateAuthority, spec.sigstoreKeys.timestampAuthorities";

interface Case {
  readonly name: string;
  readonly spec: TrustRootSpec;
  readonly errors?: string;
}

const remote = (root: string): TrustRootSpec => ({ remote: { mirror: "https://tuf.example.com", root } });
const ca = { subject: SUBJECT, uri: "https://fulcio.example.com", certChain: base64("any") };
const log = { baseURL: "https://rekor.example.com", hashAlgorithm: "sha-256", publicKey: base64("any") };

const CASES: readonly Case[] = [
  { name: "nothing", spec: {}, errors: `expected exactly one, got neither: ${ALL}` },
  { name: "two", spec: { remote: {}, sigstoreKeys: {} }, errors: `expected exactly one, got both: ${ALL}` },
  { name: "remote", spec: remote(ROOT) },
  { name: "remote of nothing", spec: { remote: {} }, errors: "missing field(s): spec.remote.mirror, spec.remote.root" },
  {
    name: "root that is no base64",
    spec: remote("{}"),
    errors: "invalid value: failed to decode: spec.remote.root\nillegal base64 data",
  },
  {
    name: "root that is no JSON",
    spec: remote(base64("x")),
    errors: "invalid value: failed to unmarshal: spec.remote.root\ninvalid JSON",
  },
  {
    name: "root that is a list",
    spec: remote(base64("[]")),
    errors:
      "invalid value: failed to unmarshal: spec.remote.root\njson: cannot unmarshal array into Go value of type map[string]interface {}",
  },
  {
    name: "root without signatures",
    spec: remote(base64("{}")),
    errors: "invalid value: missing signatures in root.json: spec.remote.root\nno signatures",
  },
  { name: "repository", spec: { repository: { root: ROOT, mirrorFS: GZIP, targets: "targets" } } },
  {
    name: "repository without root",
    spec: { repository: { mirrorFS: GZIP, targets: "t" } },
    errors: "missing field(s): spec.repository.root",
  },
  {
    name: "repository without itself",
    spec: { repository: { root: ROOT, targets: "t" } },
    errors: "missing field(s): spec.repository.repository",
  },
  {
    name: "repository without targets",
    spec: { repository: { root: ROOT, mirrorFS: GZIP } },
    errors: "missing field(s): spec.repository.targets",
  },
  {
    name: "repository that is no gzip",
    spec: { repository: { root: ROOT, mirrorFS: base64("not a gzip file"), targets: "t" } },
    errors:
      "invalid value: failed to construct a TUF client: spec.repository.mirrorFS\nfailed to uncompress: gzip: invalid header",
  },
  { name: "keys of nothing", spec: { sigstoreKeys: {} }, errors: `expected exactly one, got neither: ${AUTHORITIES}` },
  { name: "keys", spec: { sigstoreKeys: { certificateAuthorities: [ca], tLogs: [log], ctLogs: [log] } } },
  {
    name: "every broken item, not the last alone",
    spec: {
      sigstoreKeys: {
        certificateAuthorities: [{}, ca, { ...ca, subject: {} }],
        tLogs: [{}],
        ctLogs: [{ ...log, publicKey: "" }],
      },
    },
    errors: `missing field(s): ${[
      "spec.sigstoreKeys.certificateAuthority[0].certchain",
      "spec.sigstoreKeys.certificateAuthority[0].subject.commonName",
      "spec.sigstoreKeys.certificateAuthority[0].subject.organization",
      "spec.sigstoreKeys.certificateAuthority[0].uri",
      "spec.sigstoreKeys.certificateAuthority[2].subject.commonName",
      "spec.sigstoreKeys.certificateAuthority[2].subject.organization",
      "spec.sigstoreKeys.ctLogs[0].publicKey",
      "spec.sigstoreKeys.tLogs[0].baseURL",
      "spec.sigstoreKeys.tLogs[0].hashAlgorithm",
      "spec.sigstoreKeys.tLogs[0].publicKey",
    ].join(", ")}`,
  },
  {
    name: "a period that ends before it begins",
    spec: {
      sigstoreKeys: {
        certificateAuthorities: [{ ...ca, validFor: { start: "2026-01-02T00:00:00Z", end: "2026-01-01T00:00:00Z" } }],
      },
    },
    errors:
      "invalid value: 2026-01-01T00:00:00Z: spec.sigstoreKeys.certificateAuthority[0].validFor.end\nthe end must be after the start",
  },
  {
    name: "a timestamp authority whose chain is none",
    spec: { sigstoreKeys: { timestampAuthorities: [ca] } },
    errors:
      "invalid value: error splitting the certificates: spec.sigstoreKeys.timestampAuthorities[0].certChain\nerror during PEM decoding",
  },
];

/** Self-signed, valid for a hundred years: no authority, and one. */
const LEAF = `-----BEGIN CERTIFICATE-----
MIIBcTCCARigAwIBAgIUZNqRIVywgXqGH+7PxCQrV8JZiAQwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjEyMTU3MzJaGA8yMTI2MTAyODIxNTcz
MlowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABJf4
z7Z80vtp5+KlWN1jHEFjGbqCPmKlQjs6WKUe7StPE/ziibAREPO4dZ44da67+CqQ
Y/8cbxPvqKuCu4inJ5SjUDBOMB0GA1UdDgQWBBRWA1O07WkkTK4s4G4TgTLJqCDK
VzAfBgNVHSMEGDAWgBRWA1O07WkkTK4s4G4TgTLJqCDKVzAMBgNVHRMBAf8EAjAA
MAoGCCqGSM49BAMCA0cAMEQCICv9TWplAt78MWQSqIg8eyNaWq2wvSNyHvYVuRD/
cf+MAiBY7GhKUUc0YU1rQEERDMGWhgX64FIRoLVVwu6IIXvSDw==
-----END CERTIFICATE-----
`;

const AUTHORITY = `-----BEGIN CERTIFICATE-----
MIIBdDCCARugAwIBAgIUMUeDFp3SSn5b2b4JB+ONgcOnWNQwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjEyMTU3MzJaGA8yMTI2MTAyODIxNTcz
MlowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABPR1
NuX5jdkorxW2kB7MVWMyodtzFVnU/1jL5QS2LPDPp99Yw5Km9QFB3qgs1IJR9rVU
5rkAiQ7DjjsJpd2DXC6jUzBRMB0GA1UdDgQWBBRc/80a+wiHTRjVZZAOuVSZeO4v
KDAfBgNVHSMEGDAWgBRc/80a+wiHTRjVZZAOuVSZeO4vKDAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0cAMEQCIBb9IYiT8CeCSI9raoo5wMWLnNYjgt1/bLXH
s59qeMGPAiBXzVEbDiyZHcTUd1vwCTBbrIsLHzw42HVHsidImoQDnA==
-----END CERTIFICATE-----
`;

describe("TrustRoot validation", () => {
  for (const { name, spec, errors } of CASES) {
    it(name, () => expect(formatErrors(trustRootErrors(spec), "error")).to.equal(errors));
  }

  it("wants at most one certificate of a timestamp authority's chain to be no authority's", () => {
    const chainOf = (...pems: string[]) => ({
      spec: { sigstoreKeys: { timestampAuthorities: [{ ...ca, certChain: base64(pems.join("")) }] } },
    });
    expect(validateTrustRoot(chainOf(LEAF, AUTHORITY)).errors).to.equal(undefined);
    expect(validateTrustRoot(chainOf(LEAF, LEAF, AUTHORITY)).errors).to.equal(
      "invalid value: certificate chain must contain at most one TSA certificate: spec.sigstoreKeys.timestampAuthorities[0].certChain",
    );
  });

  it("puts defaults in place first, and takes null for absent", () => {
    const spec = { remote: null, sigstoreKeys: null, repository: { root: ROOT, mirrorFS: GZIP, targets: null } };
    expect(validateTrustRoot({ spec: spec as unknown as TrustRootSpec })).to.deep.equal({
      errors: undefined,
      warnings: [],
    });
  });

  it("refuses an object without a spec", () => {
    expect(validateTrustRoot({}).errors).to.equal(`expected exactly one, got neither: ${ALL}`);
  });
});
