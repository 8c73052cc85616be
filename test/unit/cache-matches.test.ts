import { expect } from "chai";
import fc from "fast-check";
import { matchesOf } from "../../core/cache/matches.ts";
import { readRecords, type SealedRecords, type VerificationRecord, writeRecords } from "../../core/cache/record.ts";
import type { Digest } from "../../core/image/reference.ts";
import type { AttestationFact, AuthorityMatches } from "../../core/policy/types.ts";

const DIGEST = `sha256:${"a".repeat(64)}` as const;
const IMAGE = `ghcr.io/team/app@${DIGEST}`;

function sealed(authorities: AuthorityMatches, more: Partial<VerificationRecord> = {}): SealedRecords {
  const record: VerificationRecord = {
    policyName: "p",
    policyUid: "uid",
    resourceVersion: "1",
    policyHash: "h",
    issued: 1_700_000_000,
    expires: 1_700_000_060,
    authorities,
    ...more,
  };
  return { cluster: "c", epoch: "0", records: new Map([[IMAGE, new Map([["uid", record]])]]), pins: new Map() };
}

const FACTS: AuthorityMatches = {
  key: { signatures: [{ id: "1" }, { id: "2", subject: "s", issuer: "i" }] },
  github: {
    signatures: [
      {
        id: "3",
        subject: "https://github.com/acme/shop/.github/workflows/release.yaml@refs/tags/v1",
        issuer: "https://token.actions.githubusercontent.com",
        githubWorkflowTrigger: "push",
        githubWorkflowSha: "abc",
        githubWorkflowName: "release",
        githubWorkflowRepo: "acme/shop",
        githubWorkflowRef: "refs/tags/v1",
      },
    ],
  },
  attested: {
    attestations: {
      scan: [{ id: "4", predicateType: "vuln", digest: DIGEST }],
      sbom: [{ id: "5", subject: "s", issuer: "i", predicateType: "https://spdx.dev/Document", digest: DIGEST }],
    },
  },
  fixed: { static: true },
};

const text = fc.string({ unit: "grapheme", maxLength: 40 });
const name = fc.oneof(text, fc.constantFrom("__proto__", "constructor", "true", "null", "1", "~", "a: b", "- a", "%"));
const digest = fc
  .string({ unit: fc.constantFrom(..."0123456789abcdef"), minLength: 64, maxLength: 64 })
  .map((hex): Digest => `sha256:${hex}`);
const optional = {
  subject: text,
  issuer: text,
  githubWorkflowTrigger: text,
  githubWorkflowSha: text,
  githubWorkflowName: text,
  githubWorkflowRepo: text,
  githubWorkflowRef: text,
};
const signature = fc.record({ id: text, ...optional }, { requiredKeys: ["id"] });
const attestation = fc.record(
  { id: text, ...optional, predicateType: text, digest },
  { requiredKeys: ["id", "predicateType", "digest"] },
) as fc.Arbitrary<AttestationFact>;
const dictionary = <T>(values: fc.Arbitrary<T>) =>
  fc
    .uniqueArray(fc.tuple(name, values), { selector: ([key]) => key, maxLength: 4 })
    .map((entries) => Object.fromEntries(entries));
const match = fc
  .record(
    {
      signatures: fc.array(signature, { maxLength: 3 }),
      attestations: dictionary(fc.array(attestation, { maxLength: 3 })),
      static: fc.constant(true as const),
    },
    { requiredKeys: [] },
  )
  .filter((found) => Object.keys(found).length > 0);
const matches = dictionary(match) as fc.Arbitrary<AuthorityMatches>;

describe("records with what authorities established", () => {
  it("are read as they were written: signatures, identities, attestations, static verdicts, configurations", () => {
    const whole = sealed(FACTS, { scope: "team", config: '{"linux/amd64":{"config":{"User":"65532"}}}' });
    expect(readRecords(writeRecords(whole))).to.deep.equal(whole);
  });

  it("are read as they were written, whatever is in them", () => {
    fc.assert(
      fc.property(matches, text, (found, config) => {
        const whole = sealed(found, { config });
        expect(readRecords(writeRecords(whole))).to.deep.equal(whole);
      }),
      { numRuns: 100 },
    );
  });

  it("have one text, in whatever order their names came", () => {
    const reversed = Object.fromEntries(Object.entries(FACTS).reverse());
    expect(writeRecords(sealed(reversed))).to.equal(writeRecords(sealed(FACTS)));
  });
});

describe("matches in an annotation", () => {
  const good = { key: { signatures: [{ id: "1" }] } };
  const fact = { id: "1", predicateType: "t", digest: DIGEST };
  /** Each with a neighbour that is fine: one bad fact spoils the record. */
  const garbage: readonly (readonly [name: string, value: unknown])[] = [
    ["a list", []],
    ["a text", "key"],
    ["nothing", undefined],
    ["null", null],
    ["an authority that is a text", { ...good, x: "passed" }],
    ["an authority of nothing", { ...good, x: {} }],
    ["an authority of something else", { ...good, x: { passed: "true" } }],
    ["a list as an authority, as in format 1", { ...good, x: [{ id: "1" }] }],
    ["signatures that are a text", { ...good, x: { signatures: "all" } }],
    ["signatures by name", { ...good, x: { signatures: { id: "1" } } }],
    ["a signature without an id", { ...good, x: { signatures: [{ id: "1" }, { subject: "s" }] } }],
    ["a signature whose id is a number", { ...good, x: { signatures: [{ id: 1 }] } }],
    ["a signature that is null", { ...good, x: { signatures: [null] } }],
    ["attestations as a list", { ...good, x: { attestations: [fact] } }],
    ["an attestation that is no list", { ...good, x: { attestations: { a: fact } } }],
    ["an attestation without a type", { ...good, x: { attestations: { a: [{ id: "1", digest: DIGEST }] } } }],
    ["an attestation without a digest", { ...good, x: { attestations: { a: [{ id: "1", predicateType: "t" }] } } }],
    ["an attestation whose digest is none", { ...good, x: { attestations: { a: [{ ...fact, digest: "latest" }] } } }],
    ["good signatures with bad attestations", { ...good, x: { signatures: [{ id: "1" }], attestations: "x" } }],
    ["a static verdict that is not true", { ...good, x: { static: "false" } }],
    ["a static verdict that is no text", { ...good, x: { static: true } }],
  ];
  for (const [what, value] of garbage) {
    it(`are none: ${what}`, () => expect(matchesOf(value)).to.equal(undefined));
  }

  it("are taken where nothing is wrong (the control of the above)", () => {
    const fine = { ...good, x: { attestations: { a: [fact] }, static: "true" } };
    expect(matchesOf(fine)).to.deep.equal({ ...good, x: { attestations: { a: [fact] }, static: true } });
    expect(matchesOf({})).to.deep.equal({});
  });

  it("keep no field that they do not know", () => {
    const value = { key: { signatures: [{ id: "1", admin: "yes", subject: 7 }], evil: "x" } };
    expect(matchesOf(value)).to.deep.equal(good);
  });

  it("come of no garbage whatever", () => {
    const shapes = new Set(["signatures", "attestations", "static"]);
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        for (const found of Object.values(matchesOf({ x: value }) ?? {})) {
          expect(Object.keys(found).filter((key) => !shapes.has(key))).to.deep.equal([]);
          expect(Object.keys(found)).to.not.deep.equal([]);
        }
        const text = JSON.stringify(value); // JSON is YAML
        expect(readRecords(text)).to.equal(undefined);
      }),
      { numRuns: 100 },
    );
  });
});
