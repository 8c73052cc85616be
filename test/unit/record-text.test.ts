import { expect } from "chai";
import fc from "fast-check";
import { readRecords, type SealedRecords, writeRecords } from "../../core/cache/record.ts";

const DIGEST = `sha256:${"a".repeat(64)}` as const;
/** What YAML could take for something else, in one version or another. */
const TRICKY = [
  "yes",
  "~",
  "0x1",
  "1e3",
  "<<",
  "=",
  "- a",
  "a: b",
  "#",
  "'",
  '"',
  "|",
  ">",
  "",
  " ",
  "\n",
  "\u0085",
  "\u2028",
  "\ufeff",
  "&a",
  "*a",
  "!!str",
  "__proto__",
  "2026-01-01",
  "12:30",
  "%",
];
const text = fc.oneof(
  fc.constantFrom(...TRICKY),
  fc.string({ unit: "grapheme" }),
  fc.string({ unit: "binary" }).filter((value) => value.isWellFormed()),
  fc.array(fc.constantFrom(...TRICKY, "x"), { maxLength: 6 }).map((parts) => parts.join("")),
);

const records: fc.Arbitrary<SealedRecords> = fc
  .record({
    cluster: text,
    epoch: text,
    image: text,
    uid: text,
    tag: text,
    authority: text,
    predicate: text,
    record: fc.record({ policyName: text, resourceVersion: text, policyHash: text, scope: text, config: text }),
    signature: fc.record({ id: text, subject: text, issuer: text, githubWorkflowRef: text }),
    issued: fc.integer({ min: 0, max: 4_000_000_000 }),
  })
  .map(({ cluster, epoch, image, uid, tag, authority, predicate, record, signature, issued }) => {
    const attestation = { ...signature, predicateType: signature.id, digest: DIGEST };
    // Computed from entries: a literal's `__proto__` would be no member of it.
    const authorities = Object.fromEntries([
      [authority, { signatures: [signature], attestations: Object.fromEntries([[predicate, [attestation]]]) }],
    ]);
    const whole = { ...record, policyUid: uid, issued, expires: issued + 60, authorities };
    return { cluster, epoch, records: new Map([[image, new Map([[uid, whole]])]]), pins: new Map([[tag, DIGEST]]) };
  });

describe("the text of records", () => {
  it("reads back as it was written, whatever certificates and people put into it", () => {
    fc.assert(
      fc.property(records, (sealed) => {
        expect(readRecords(writeRecords(sealed))).to.deep.equal(sealed);
      }),
      { numRuns: 1_000 },
    );
  });

  it("is the same whatever the order of what it is made from", () => {
    const record = { policyName: "p", policyUid: "", resourceVersion: "1", policyHash: "h", issued: 0, expires: 1 };
    const of = (uids: readonly string[]) => {
      const authorities = Object.fromEntries(uids.map((uid) => [uid, { signatures: [{ id: uid }] }]));
      const byPolicy = new Map(uids.map((uid) => [uid, { ...record, policyUid: uid, authorities }]));
      const pins = new Map(uids.map((uid) => [uid, DIGEST]));
      return writeRecords({ cluster: "c", epoch: "0", records: new Map(uids.map((uid) => [uid, byPolicy])), pins });
    };
    expect(of(["b", "10", "a", "9"])).to.equal(of(["9", "a", "10", "b"]));
  });

  it("has no anchors, and is not read with any", () => {
    const shared = { signatures: [{ id: "s" }] };
    const record = { policyName: "p", policyUid: "u", resourceVersion: "1", policyHash: "h", issued: 0, expires: 1 };
    const records = new Map([["i", new Map([["u", { ...record, authorities: { a: shared, b: shared } }]])]]);
    const written = writeRecords({ cluster: "c", epoch: "0", records, pins: new Map() });
    expect(written).to.not.match(/[&*]/);
    expect(readRecords(written)?.records).to.deep.equal(records);
    const id = /^( +)- id: s$/m.exec(written)?.[0] ?? "";
    const anchored = written.replace(id, id.replace("s", "&x s")).replace(id, id.replace(/s$/, "*x"));
    expect(anchored).to.include("*x");
    expect(readRecords(anchored)).to.equal(undefined);
  });
});
