import { createPrivateKey, sign } from "node:crypto";
import { expect } from "chai";
import fc from "fast-check";
import { FlattenedSign, flattenedVerify, importJWK } from "jose";
import { newSealKey, publicKeyring } from "../../core/cache/keyring.ts";
import { readRecords, type SealedRecords, writeRecords } from "../../core/cache/record.ts";
import { SEALED_LIMIT, Sealer } from "../../core/cache/seal.ts";

const NOW = new Date("2026-01-01T00:00:00Z");
const DIGEST = `sha256:${"a".repeat(64)}` as const;
const IMAGE = `ghcr.io/team/app@${DIGEST}`;

const RECORDS: SealedRecords = {
  cluster: "7c9e6679-7425-40de-944b-e07fc1f90ae7",
  epoch: "0",
  records: new Map([
    [
      IMAGE,
      new Map([
        [
          "uid-1",
          {
            policyName: "yes",
            policyUid: "uid-1",
            resourceVersion: "12",
            policyHash: "ab".repeat(32),
            issued: NOW.getTime() / 1000,
            expires: NOW.getTime() / 1000 + 3600,
            authorities: { "authority-0": { signatures: [{ id: "cd".repeat(32) }] } },
          },
        ],
      ]),
    ],
  ]),
  pins: new Map([["ghcr.io/team/app:v1", DIGEST]]),
};

describe("the seal", () => {
  const key = newSealKey(NOW);
  let sealer: Sealer;
  let annotation: string;

  before(() => {
    sealer = new Sealer({ keys: [key] });
    annotation = sealer.seal(writeRecords(RECORDS));
  });

  const refusal = (text: string, by = sealer) => {
    const opened = by.open(text);
    return opened.kind === "refused" ? opened.reason : "opened";
  };

  it("opens what it sealed, and reads the same records", () => {
    expect(sealer.open(annotation)).to.deep.equal({ kind: "opened", sealed: RECORDS });
  });

  it("has the published shape: records by image and policy UID, with name and resourceversion, and a JWS", () => {
    expect(annotation).to.match(/^records:\n {2}ghcr\.io\/team\/app@sha256:a+:\n {4}uid-1:\n/m);
    expect(annotation).to.include('name: "yes"').and.include('resourceversion: "12"');
    expect(annotation).to.match(/\nsignature: eyJ[\w-]+\.\.[\w-]{86}\n$/);
  });

  it("is a JWS that a library of JWS opens, and opens what that one made (RFC 7515, RFC 7797)", async () => {
    const [, text = "", header = "", signature = ""] =
      /^([\s\S]*\n)signature: ([\w-]+)\.\.([\w-]+)\n$/.exec(annotation) ?? [];
    const bytes = new TextEncoder().encode(text);
    const { kty, crv, x, d = "" } = key;
    const publicKey = await importJWK({ kty, crv, x }, "EdDSA");
    const opened = await flattenedVerify({ protected: header, payload: bytes, signature }, publicKey);
    expect(opened.protectedHeader).to.include({ alg: "EdDSA", b64: false, kid: key.kid });
    const jws = await new FlattenedSign(bytes)
      .setProtectedHeader({ alg: "EdDSA", b64: false, crit: ["b64"], kid: key.kid, typ: "entrepot-cache+jws" })
      .sign(await importJWK({ kty, crv, x, d }, "EdDSA"));
    expect(`${text}signature: ${jws.protected}..${jws.signature}\n`).to.equal(annotation);
  });

  it("gives the same bytes for the same records", () => {
    expect(sealer.seal(writeRecords(RECORDS))).to.equal(annotation);
    const again = new Sealer({ keys: [key] });
    expect(again.seal(writeRecords(RECORDS))).to.equal(annotation);
  });

  it("refuses every change of a single byte", () => {
    for (let at = 0; at < annotation.length - 1; at++) {
      const flipped = `${annotation.slice(0, at)}${annotation[at] === "A" ? "B" : "A"}${annotation.slice(at + 1)}`;
      expect(refusal(flipped), `byte ${at}`).to.not.equal("opened");
    }
  });

  it("refuses every truncation and every addition before the signature", () => {
    for (let length = 0; length < annotation.length - 1; length += 7) {
      expect(refusal(annotation.slice(0, length))).to.not.equal("opened");
    }
    expect(refusal(`x: y\n${annotation}`)).to.equal("signature");
    expect(refusal(annotation.replace("\nsignature", "\nmore: true\nsignature"))).to.equal("signature");
  });

  it("refuses another key, even under a known key id", () => {
    const stranger = newSealKey(NOW);
    const forged = new Sealer({ keys: [stranger] }).seal(writeRecords(RECORDS));
    const disguised = new Sealer({ keys: [{ ...stranger, kid: key.kid }] }).seal(writeRecords(RECORDS));
    expect(refusal(forged)).to.equal("unknown-key");
    expect(refusal(disguised)).to.equal("signature");
  });

  for (const header of [
    { alg: "none", b64: false, crit: ["b64"], typ: "entrepot-cache+jws" },
    { alg: "HS256", b64: false, crit: ["b64"], typ: "entrepot-cache+jws" },
    { alg: "EdDSA", b64: true, typ: "entrepot-cache+jws" },
    { alg: "EdDSA", b64: false, crit: ["b64"], typ: "JWT" },
    { alg: "EdDSA", b64: false, crit: ["b64"], typ: "entrepot-cache+jws", jku: "https://evil.example", kid: "unknown" },
  ]) {
    it(`refuses the header ${JSON.stringify(header)}`, async () => {
      const encoded = Buffer.from(JSON.stringify({ kid: key.kid, ...header })).toString("base64url");
      expect(refusal(annotation.replace(/signature: [\w-]+/, `signature: ${encoded}`))).to.not.equal("opened");
    });
  }

  it("refuses a header of ours that has more for a reader to understand, though its signature is right", () => {
    const text = writeRecords(RECORDS);
    const { kty, crv, x, d = "" } = key;
    const privateKey = createPrivateKey({ key: { kty, crv, x, d }, format: "jwk" });
    const signed = (crit: readonly string[]) => {
      const fields = { alg: "EdDSA", b64: false, crit, kid: key.kid, typ: "entrepot-cache+jws" };
      const header = Buffer.from(JSON.stringify(fields)).toString("base64url");
      const signature = sign(null, Buffer.from(`${header}.${text}`), privateKey).toString("base64url");
      return `${text}signature: ${header}..${signature}\n`;
    };
    expect(refusal(signed(["b64"]))).to.equal("opened");
    for (const crit of [[], ["exp"], ["b64", "exp"]]) expect(refusal(signed(crit))).to.equal("header");
  });

  it("looks at nothing that is too large", () => {
    expect(refusal("x".repeat(SEALED_LIMIT + 1))).to.equal("too-large");
  });

  it("opens with a retired key, and not with one that is gone", () => {
    const [active, retired] = [newSealKey(NOW), { ...key, retired: NOW.getTime() / 1000 }];
    const rotated = { keys: [active, retired] };
    const gone = { keys: [active] };
    expect(refusal(annotation, new Sealer(rotated))).to.equal("opened");
    expect(refusal(annotation, new Sealer(gone))).to.equal("unknown-key");
  });

  it("opens but cannot seal with public keys alone", () => {
    const auditor = new Sealer(publicKeyring({ keys: [key] }));
    expect(refusal(annotation, auditor)).to.equal("opened");
    expect(() => auditor.seal("x")).to.throw(TypeError);
  });

  it("throws at no bytes whatever", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 80 }).map((bytes) => Buffer.from(bytes).toString("latin1")),
        (text) => {
          expect(refusal(text)).to.not.equal("opened");
          expect(refusal(`${text}\nsignature: ${text}..${"A".repeat(86)}\n`)).to.not.equal("opened");
        },
      ),
    );
  });
});

describe("records", () => {
  it("are read only in the form that they are written", () => {
    expect(readRecords(writeRecords(RECORDS))).to.deep.equal(RECORDS);
    const spoiled = [
      writeRecords(RECORDS).replace('version: "2"', 'version: "1"'),
      writeRecords(RECORDS).replace(/ {6}policy: .*\n/, ""),
      "records: [",
      "a: &a [*a]",
      "",
    ];
    expect(spoiled.map(readRecords)).to.deep.equal(spoiled.map(() => undefined));
  });

  it("with a pin that is no digest are not read", () => {
    expect(readRecords(writeRecords({ ...RECORDS, pins: new Map([["a", "latest" as never]]) }))).to.equal(undefined);
  });
});
