import { expect } from "chai";
import fc from "fast-check";
import { activeKey, newSealKey, parseKeyring, publicKeyring, rotateKeyring } from "../../core/cache/keyring.ts";
import { readRecords, type SealedRecords, writeRecords } from "../../core/cache/record.ts";
import { SEALED_LIMIT, Sealer } from "../../core/cache/seal.ts";
import { DomainError } from "../../core/errors.ts";

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

  before(async () => {
    sealer = await Sealer.create({ keys: [key] });
    annotation = await sealer.seal(writeRecords(RECORDS));
  });

  const refusal = async (text: string, by = sealer) => {
    const opened = await by.open(text);
    return opened.kind === "refused" ? opened.reason : "opened";
  };

  it("opens what it sealed, and reads the same records", async () => {
    expect(await sealer.open(annotation)).to.deep.equal({ kind: "opened", sealed: RECORDS });
  });

  it("has the published shape: records by image and policy UID, with name and resourceversion, and a JWS", () => {
    expect(annotation).to.match(/^records:\n {2}ghcr\.io\/team\/app@sha256:a+:\n {4}uid-1:\n/m);
    expect(annotation).to.include('name: "yes"').and.include('resourceversion: "12"');
    expect(annotation).to.match(/\nsignature: eyJ[\w-]+\.\.[\w-]{86}\n$/);
  });

  it("gives the same bytes for the same records", async () => {
    expect(await sealer.seal(writeRecords(RECORDS))).to.equal(annotation);
    const again = await Sealer.create({ keys: [key] });
    expect(await again.seal(writeRecords(RECORDS))).to.equal(annotation);
  });

  it("refuses every change of a single byte", async () => {
    const flips = Array.from({ length: annotation.length - 1 }, async (_, at) => {
      const flipped = `${annotation.slice(0, at)}${annotation[at] === "A" ? "B" : "A"}${annotation.slice(at + 1)}`;
      expect(await refusal(flipped), `byte ${at}`).to.not.equal("opened");
    });
    await Promise.all(flips);
  });

  it("refuses every truncation and every addition before the signature", async () => {
    for (let length = 0; length < annotation.length - 1; length += 7) {
      expect(await refusal(annotation.slice(0, length))).to.not.equal("opened");
    }
    expect(await refusal(`x: y\n${annotation}`)).to.equal("signature");
    expect(await refusal(annotation.replace("\nsignature", "\nmore: true\nsignature"))).to.equal("signature");
  });

  it("refuses another key, even under a known key id", async () => {
    const stranger = newSealKey(NOW);
    const forged = await (await Sealer.create({ keys: [stranger] })).seal(writeRecords(RECORDS));
    const disguised = await (await Sealer.create({ keys: [{ ...stranger, kid: key.kid }] })).seal(
      writeRecords(RECORDS),
    );
    expect(await refusal(forged)).to.equal("unknown-key");
    expect(await refusal(disguised)).to.equal("signature");
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
      expect(await refusal(annotation.replace(/signature: [\w-]+/, `signature: ${encoded}`))).to.not.equal("opened");
    });
  }

  it("looks at nothing that is too large", async () => {
    expect(await refusal("x".repeat(SEALED_LIMIT + 1))).to.equal("too-large");
  });

  it("opens with a retired key, and not with one that is gone", async () => {
    const rule = { rotateAfterSeconds: 10, keepRetiredSeconds: 100 };
    const later = new Date(NOW.getTime() + 20_000);
    const rotated = rotateKeyring({ keys: [key] }, rule, later, newSealKey);
    const gone = rotateKeyring(
      rotated,
      { ...rule, rotateAfterSeconds: 1000 },
      new Date(NOW.getTime() + 130_000),
      newSealKey,
    );
    expect(activeKey(rotated).kid).to.not.equal(key.kid);
    expect(await refusal(annotation, await Sealer.create(rotated))).to.equal("opened");
    expect(await refusal(annotation, await Sealer.create(gone))).to.equal("unknown-key");
  });

  it("opens but cannot seal with public keys alone", async () => {
    const auditor = await Sealer.create(publicKeyring({ keys: [key] }));
    expect(await refusal(annotation, auditor)).to.equal("opened");
    const sealed = await auditor.seal("x").catch((thrown: unknown) => thrown);
    expect(sealed).to.be.instanceOf(TypeError);
  });

  it("throws at no bytes whatever", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 80 }).map((bytes) => Buffer.from(bytes).toString("latin1")),
        async (text) => {
          expect(await refusal(text)).to.not.equal("opened");
          expect(await refusal(`${text}\nsignature: ${text}..${"A".repeat(86)}\n`)).to.not.equal("opened");
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

describe("the keyring", () => {
  const rule = { rotateAfterSeconds: 100, keepRetiredSeconds: 1000 };
  const at = (seconds: number) => new Date(NOW.getTime() + seconds * 1000);

  it("is made when there is none and left alone until it is due", () => {
    const first = rotateKeyring(undefined, rule, NOW, newSealKey);
    expect(first.keys).to.have.length(1);
    expect(rotateKeyring(first, rule, at(99), newSealKey)).to.equal(first);
    const second = rotateKeyring(first, rule, at(100), newSealKey);
    expect(second.keys).to.have.length(2);
    expect(rotateKeyring(second, { ...rule, rotateAfterSeconds: 1e9 }, at(1099), newSealKey)).to.equal(second);
    expect(rotateKeyring(second, { ...rule, rotateAfterSeconds: 1e9 }, at(1100), newSealKey).keys).to.deep.equal([
      activeKey(second),
    ]);
  });

  it("is read back, and nothing else is", () => {
    const keyring = rotateKeyring(undefined, rule, NOW, newSealKey);
    expect(parseKeyring(JSON.stringify(keyring))).to.deep.equal(keyring);
    const [key] = keyring.keys;
    const bad = [
      "{",
      "null",
      "{}",
      JSON.stringify({ keys: [] }),
      JSON.stringify({ keys: [key, key] }),
      JSON.stringify({ keys: [{ ...key, crv: "X25519" }] }),
      JSON.stringify({ keys: [{ ...key, kid: "../x" }] }),
      `{"keys":[]}${" ".repeat(70_000)}`,
    ];
    for (const text of bad)
      expect(() => parseKeyring(text))
        .to.throw(DomainError)
        .with.property("code", "KEYRING_INVALID");
  });

  it("never quotes a key in an error", () => {
    const { d = "" } = newSealKey(NOW);
    expect(() => parseKeyring(`{"keys":[{"d":"${d}"`))
      .to.throw()
      .with.property("message")
      .that.does.not.include(d);
  });
});
