import { randomBytes } from "node:crypto";
import { expect } from "chai";
import { signatureId } from "../../adapters/sigstore/candidate.ts";
import { annotatedMaterial } from "../../adapters/sigstore/material.ts";

const CERTIFICATE = "dev.sigstore.cosign/certificate";
const CHAIN = "dev.sigstore.cosign/chain";
const LOG = "dev.sigstore.cosign/bundle";
const TIMESTAMP = "dev.sigstore.cosign/rfc3161timestamp";
const NOTHING = { intermediates: [], logEntries: [], timestamps: [] };

const read = (annotations: Readonly<Record<string, string>>) => annotatedMaterial(new Map(Object.entries(annotations)));

/** PEM as Go writes it. */
function pem(der: Buffer): string {
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

describe("what cosign keeps in the annotations of a classic layer", () => {
  const body = Buffer.from(JSON.stringify({ kind: "hashedrekord", apiVersion: "0.0.1", spec: {} })).toString("base64");
  const logID = "ab".repeat(32);
  const payload = { body, integratedTime: 1_700_000_000, logIndex: 42, logID };
  const entry = { SignedEntryTimestamp: Buffer.from("promise").toString("base64"), Payload: payload };

  it("nothing: nothing", () => {
    expect(read({})).to.deep.equal(NOTHING);
  });

  it("a certificate and its chain, which may have several", () => {
    const [leaf, intermediate, root] = [randomBytes(700), randomBytes(500), randomBytes(400)];
    const material = read({ [CERTIFICATE]: pem(leaf), [CHAIN]: `${pem(intermediate)}\n${pem(root)}` });
    expect(material).to.deep.equal({ ...NOTHING, certificate: leaf, intermediates: [intermediate, root] });
    expect(signatureId(Buffer.from("s"), leaf)).not.to.equal(signatureId(Buffer.from("s")));
  });

  it("a log entry, in Go's spelling", () => {
    expect(read({ [LOG]: JSON.stringify(entry) }).logEntries).to.deep.equal([
      {
        logIndex: "42",
        logId: { keyId: Buffer.from(logID, "hex") },
        kindVersion: { kind: "hashedrekord", version: "0.0.1" },
        integratedTime: "1700000000",
        inclusionPromise: { signedEntryTimestamp: Buffer.from("promise") },
        inclusionProof: undefined,
        canonicalizedBody: Buffer.from(body, "base64"),
      },
    ]);
  });

  it("a timestamp", () => {
    const timestamp = JSON.stringify({ SignedRFC3161Timestamp: Buffer.from("token").toString("base64") });
    expect(read({ [TIMESTAMP]: timestamp }).timestamps).to.deep.equal([Buffer.from("token")]);
  });

  const broken: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
    ["a certificate that is no PEM", { [CERTIFICATE]: "hello" }],
    ["a certificate that is no base64", { [CERTIFICATE]: pem(Buffer.from("x")).replace("eA==", "e===A") }],
    ["a key for a certificate", { [CERTIFICATE]: pem(Buffer.from("x")).replaceAll("CERTIFICATE", "PUBLIC KEY") }],
    ["a log entry that is no JSON", { [LOG]: "{" }],
    ["a log entry without a promise", { [LOG]: JSON.stringify({ Payload: payload }) }],
    ["a log entry without a payload", { [LOG]: JSON.stringify({ ...entry, Payload: null }) }],
    [
      "a log entry whose body says nothing",
      { [LOG]: JSON.stringify({ ...entry, Payload: { ...payload, body: "e30=" } }) },
    ],
    ["a log entry of no log", { [LOG]: JSON.stringify({ ...entry, Payload: { ...payload, logID: "ab" } }) }],
    ["a log entry at no time", { [LOG]: JSON.stringify({ ...entry, Payload: { ...payload, integratedTime: "1" } }) }],
    ["a log entry at a broken index", { [LOG]: JSON.stringify({ ...entry, Payload: { ...payload, logIndex: 0.5 } }) }],
    ["a timestamp that is no base64", { [TIMESTAMP]: '{"SignedRFC3161Timestamp":"?"}' }],
  ];
  for (const [what, annotations] of broken) {
    it(`${what}: left out`, () => {
      expect(read(annotations)).to.deep.equal(NOTHING);
    });
  }

  it("no more than sixteen certificates of a chain of thousands", () => {
    expect(read({ [CHAIN]: pem(randomBytes(10)).repeat(5_000) }).intermediates).to.have.length(16);
  });
});
