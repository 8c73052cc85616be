import { expect } from "chai";
import { nextEpoch } from "../../core/cache/epoch.ts";
import { inspectSeal, type Present, standingOf } from "../../core/cache/inspect.ts";
import { activeKey, newSealKey, parseKeyring, rotateKeyring } from "../../core/cache/keyring.ts";
import { readPublicJwks, writePublicJwks } from "../../core/cache/publicjwks.ts";
import { type SealedRecords, type VerificationRecord, writeRecords } from "../../core/cache/record.ts";
import { Sealer } from "../../core/cache/seal.ts";
import { imagesWithoutRecord } from "../../core/cache/uncovered.ts";
import { span, viewOf } from "../../core/cache/view.ts";
import { NO_NAMES } from "../../core/cachenames/names.ts";

const NOW = new Date("2026-01-01T00:00:00Z");
const at = (seconds: number) => new Date(NOW.getTime() + seconds * 1000);
const DIGEST = `sha256:${"a".repeat(64)}` as const;
const IMAGE = `ghcr.io/team/app@${DIGEST}`;
const RECORD: VerificationRecord = {
  policyName: "signed",
  policyUid: "uid-1",
  resourceVersion: "12",
  policyHash: "ab".repeat(32),
  issued: NOW.getTime() / 1000,
  expires: NOW.getTime() / 1000 + 3600,
  authorities: { team: { signatures: [{ id: "cd".repeat(32), subject: "a\u001b[2J\u202eb@example.com" }] } },
};
const SEALED: SealedRecords = {
  cluster: "cluster-1",
  epoch: "0",
  records: new Map([[IMAGE, new Map([["uid-1", RECORD]])]]),
  pins: new Map([["ghcr.io/team/app:v1", DIGEST]]),
};
const live = (resourceVersion: string, cacheTtlSeconds = 7200) =>
  new Map([["uid-1", { name: "signed", resourceVersion, cacheTtlSeconds }]]);
const PRESENT: Present = { now: at(60), cluster: "cluster-1", epoch: "0", policies: live("12") };

describe("the published seal keys", () => {
  const key = newSealKey(NOW);
  const rule = { rotateAfterSeconds: 100, keepRetiredSeconds: 1000 };
  const prepared = rotateKeyring({ keys: [key] }, rule, at(0), newSealKey);
  const rotated = rotateKeyring(prepared, rule, at(700), newSealKey);

  it("are all keys, active and retired, and the same text for the same keyring", () => {
    const { keys } = readPublicJwks(writePublicJwks(rotated));
    expect(keys.map(({ kid, retired }) => [kid, retired])).to.deep.equal(
      rotated.keys.map(({ kid, retired }) => [kid, retired]),
    );
    expect(writePublicJwks(rotated)).to.equal(writePublicJwks({ keys: rotated.keys.map((each) => ({ ...each })) }));
  });

  it("hold no private member, not even one that only a stranger's keyring has", () => {
    const secrets = { p: "p-secret", q: "q-secret", k: "k-secret", note: "secret" };
    const text = writePublicJwks(
      parseKeyring(JSON.stringify({ keys: rotated.keys.map((each) => ({ ...each, ...secrets })) })),
    );
    expect(rotated.keys.every(({ d }) => d !== undefined)).to.equal(true); // there is something to leak
    expect(text).to.not.include("secret");
    for (const { d = "" } of rotated.keys) expect(text).to.not.include(d);
    const allowed = ["alg", "crv", "iat", "kid", "kty", "next", "retired", "use", "x"];
    for (const published of (JSON.parse(text) as { keys: object[] }).keys)
      expect(Object.keys(published).filter((name) => !allowed.includes(name))).to.deep.equal([]);
  });

  it("open and never seal, though private parts were handed over", () => {
    const sealer = new Sealer(readPublicJwks(JSON.stringify({ keys: [key] })));
    expect(() => sealer.seal("records: {}\n")).to.throw(TypeError);
  });
});

describe("an inspected seal", () => {
  const key = newSealKey(NOW);
  const rule = { rotateAfterSeconds: 100, keepRetiredSeconds: 1000 };
  const prepared = rotateKeyring({ keys: [key] }, rule, at(0), newSealKey);
  const rotated = rotateKeyring(prepared, rule, at(700), newSealKey);
  let annotation: string;
  before(() => {
    annotation = new Sealer({ keys: [key] }).seal(writeRecords(SEALED));
  });

  it("names the key, and since when it is retired", async () => {
    const report = await inspectSeal(annotation, { keys: [key] });
    expect(report).to.deep.include({ holds: true, kid: key.kid, made: key.iat });
    expect(report).to.not.have.property("retired");
    expect(await inspectSeal(annotation, rotated)).to.include({ holds: true, kid: key.kid, retired: key.iat + 700 });
  });

  it("is of no retired key when the keys that it is opened with are from before that key began to sign", async () => {
    const later = new Sealer(rotated).seal(writeRecords(SEALED));
    const report = await inspectSeal(later, prepared);
    expect(report).to.include({ holds: true, kid: activeKey(rotated).kid });
    expect(report).to.not.have.property("retired");
  });

  for (const [reason, change] of [
    ["signature", (text: string) => text.replace("signed", "sogned")],
    ["unsigned", (text: string) => text.slice(0, text.indexOf("signature:"))],
    ["too-large", (text: string) => `${"#".repeat(70_000)}\n${text}`],
  ] as const)
    it(`does not hold, and why: ${reason}; nothing of its text is shown`, async () => {
      const report = await inspectSeal(change(annotation), { keys: [key] });
      expect(report).to.include({ holds: false, reason });
      expect(Object.keys(viewOf(report, PRESENT))).to.deep.equal(["seal"]);
    });

  it("does not hold under foreign keys, and says which key it claims", async () => {
    const foreign = newSealKey(NOW);
    expect(await inspectSeal(annotation, { keys: [foreign] })).to.include({
      holds: false,
      reason: "unknown-key",
      claimedKid: key.kid,
    });
    // A foreign key that calls itself ours.
    const impostor = { ...foreign, kid: key.kid };
    expect(await inspectSeal(annotation, { keys: [impostor] })).to.include({ holds: false, reason: "signature" });
  });

  it("shows no character that a terminal would act on", async () => {
    const view = JSON.stringify(viewOf(await inspectSeal(annotation, { keys: [key] }), PRESENT));
    expect(view).to.not.match(/\p{C}|\\u001b/u);
    expect(view).to.include("a\\\\u{1b}[2J\\\\u{202e}b@example.com");
  });
});

describe("how a record stands", () => {
  const reasons = (present: Partial<Present>) => standingOf(RECORD, SEALED, { ...PRESENT, ...present });

  it("is well when everything agrees, and when nothing is known but the time", () => {
    expect(reasons({})).to.deep.equal({ reasons: [], hints: [] });
    expect(standingOf(RECORD, SEALED, { now: at(60) })).to.deep.equal({ reasons: [], hints: [] });
  });

  for (const [what, present, said] of [
    ["expiry", { now: at(3600) }, /^expired$/],
    ["a time to come", { now: at(-61) }, /future/],
    [
      "a shorter life that was set since",
      { cacheTtlSeconds: 60, policies: new Map([["uid-1", { name: "signed", resourceVersion: "12" }]]) },
      /cache-ttl is 60s/,
    ],
    ["a policy that is not cached any more", { policies: live("12", 0) }, /cache-ttl is 0s/],
    ["another cluster", { cluster: "cluster-2" }, /another cluster: cluster-1, this one is cluster-2/],
    ["another epoch", { epoch: "1" }, /epoch: 0, now it is 1/],
    ["a policy that is gone", { policies: new Map() }, /signed does not exist any more/],
    ["a policy made anew", { policies: new Map([["uid-2", { name: "signed" }]]) }, /made anew/],
  ] as const)
    it(`is ended by ${what}`, () => {
      const standing = reasons(present);
      expect(standing.reasons).to.have.length(1);
      expect(standing.reasons[0]).to.match(said);
    });

  it("lives to the second before its expiry, and within the skew of clocks", () => {
    expect(reasons({ now: at(3599) }).reasons).to.deep.equal([]);
    expect(reasons({ now: at(-60) }).reasons).to.deep.equal([]);
  });

  it("is only doubted when the policy was written since: its status may be all that changed", () => {
    const { reasons: none, hints } = reasons({ policies: live("13") });
    expect(none).to.deep.equal([]);
    expect(hints[0]).to.include("resourceVersion 12, now 13");
  });
});

describe("images without a record", () => {
  const deployment = (...images: string[]) => ({
    apiVersion: "apps/v1",
    kind: "Deployment",
    spec: { template: { spec: { containers: images.map((image, n) => ({ name: `c${n}`, image })) } } },
  });

  it("are those that neither a pin nor their own digest leads to a record", () => {
    const images = ["ghcr.io/team/app:v1", IMAGE, "ghcr.io/team/app:v2", "nginx", "not an image"];
    expect(imagesWithoutRecord(deployment(...images), SEALED, NO_NAMES)).to.deep.equal(images.slice(2));
    expect(imagesWithoutRecord({ apiVersion: "v1", kind: "ConfigMap" }, SEALED, NO_NAMES)).to.deep.equal([]);
  });

  it("are not those that the Pod says it was written with, whose records are under that name", () => {
    const digest = IMAGE.slice(IMAGE.indexOf("@"));
    const renamed = (name: string, image: string, volume: string) => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: {
        annotations: {
          "entrepot.dev/original-images": JSON.stringify({
            app: `ghcr.io/team/app:v1${digest}`,
            "volumes/data": "ghcr.io/team/app:v1",
          }),
        },
      },
      spec: {
        containers: [{ name, image }],
        volumes: [{ name: volume, image: { reference: `cache:5000/d${digest}` } }],
      },
    });
    const cached = `cache:5000/hub/app:v1${digest}`;
    expect(imagesWithoutRecord(renamed("app", cached, "data"), SEALED, NO_NAMES)).to.deep.equal([]);
    expect(imagesWithoutRecord(renamed("other", cached, "data"), SEALED, NO_NAMES)).to.deep.equal([cached]);
    expect(imagesWithoutRecord(renamed("app", cached, "log"), SEALED, NO_NAMES)).to.deep.equal([
      `cache:5000/d${digest}`,
    ]);
    const another = {
      ...renamed("app", "cache:5000/hub/app", "data"),
      metadata: { annotations: { "entrepot.dev/original-images": "[" } },
    };
    expect(imagesWithoutRecord(another, SEALED, NO_NAMES)).to.have.length(2);
  });
});

describe("spans and epochs", () => {
  it("have two units, and a sign when past", () => {
    expect([0, 59, 3599, 86_399, 100_000, -90].map(span)).to.deep.equal([
      "0s",
      "59s",
      "59m 59s",
      "23h 59m",
      "1d 3h",
      "-1m 30s",
    ]);
  });

  it("never come again", () => {
    const first = nextEpoch("0", NOW);
    expect(first).to.equal("2026-01-01T00:00:00.000Z").and.to.have.length.lessThan(64);
    expect(nextEpoch(first, NOW)).to.not.equal(first);
  });
});
