import { expect } from "chai";
import fc from "fast-check";
import { needsNothing, needsOf, type PolicyNeeds, shownUrl } from "../../core/policy/needs.ts";
import {
  RESOLVED_LIMIT,
  type Resolution,
  readResolved,
  resolvedLabels,
  resolvedName,
  sha256sum,
  writeResolved,
} from "../../core/policy/resolved.ts";
import { type Attempts, type Fetched, mergeResolution } from "../../core/policy/resolved-merge.ts";
import { generatePem } from "../support/keys.ts";

const THEN = new Date("2030-01-01T00:00:00Z");
const NOW = new Date("2030-01-02T00:00:00Z");
const URI = "awskms:///arn:aws:kms:eu-west-1:111122223333:alias/release";
const URL_OF_CUE = "https://policies.example/a.cue";
const CUE = 'predicateType: "x"\n';
const OLD = generatePem("P-256").publicKey;
const NEW = generatePem("ed25519").publicKey;

const NEEDS: PolicyNeeds = { kms: [URI], documents: [{ url: URL_OF_CUE, sha256sum: sha256sum(CUE) }] };

function attempts(keys: Record<string, Fetched> = {}, documents: Record<string, Fetched> = {}): Attempts {
  return { keys: new Map(Object.entries(keys)), documents: new Map(Object.entries(documents)) };
}

function good(): Resolution {
  return mergeResolution(
    undefined,
    1,
    NEEDS,
    attempts({ [URI]: { value: OLD } }, { [sha256sum(CUE)]: { value: CUE } }),
    THEN,
  );
}

describe("what a policy needs from outside the cluster", () => {
  it("is the KMS keys and remote policies of all its parts, each once and in a stable order", () => {
    const remote = { type: "cue", remote: { url: URL_OF_CUE, sha256sum: "b" } };
    const needs = needsOf({
      policy: { type: "rego", remote: { url: "https://policies.example/z.rego", sha256sum: "a" } },
      authorities: [
        { key: { kms: "hashivault://b" } },
        { key: { kms: "gcpkms://a" }, attestations: [{ name: "x", predicateType: "y", policy: remote }] },
        { keyless: { "ca-cert": { kms: "hashivault://b" }, identities: [] }, attestations: [{ policy: remote }] },
      ],
    });
    expect(needs).to.deep.equal({
      kms: ["gcpkms://a", "hashivault://b"],
      documents: [
        { url: "https://policies.example/z.rego", sha256sum: "a" },
        { url: URL_OF_CUE, sha256sum: "b" },
      ],
    });
  });

  it("is nothing where keys, Secrets, ConfigMaps and inline policies say it all", () => {
    const needs = needsOf({
      policy: { type: "cue", configMapRef: { name: "a", key: "b" } },
      authorities: [
        { key: { data: "pem", kms: "" } },
        { key: { secretRef: { name: "s" } }, attestations: [{ policy: { type: "cue", data: "x" } }] },
        { static: { action: "pass" } },
      ],
    });
    expect(needsNothing(needs)).to.equal(true);
    expect(needsNothing(needsOf(undefined))).to.equal(true);
    expect(needsNothing(needsOf({ authorities: null, policy: null } as never))).to.equal(true);
    expect(needsNothing(NEEDS)).to.equal(false);
  });

  it("is shown without what may be a credential", () => {
    expect(shownUrl("https://user:secret@policies.example/a.cue?token=secret#x")).to.equal(URL_OF_CUE);
    expect(shownUrl("secret")).to.not.contain("secret");
  });
});

describe("what was resolved for a policy", () => {
  it("is read as it was written, in the same bytes", () => {
    const text = writeResolved(good());
    expect(readResolved(text)).to.deep.equal(good());
    const { keys, documents, problems, fetchedAt, generation } = good();
    expect(writeResolved({ fetchedAt, problems, documents, keys, generation })).to.equal(text);
    expect(resolvedName("u-1")).to.equal("policy-resolved-u-1");
    expect(resolvedLabels("u-1")).to.include({ "entrepot.dev/resolved-policy": "u-1" });
  });

  for (const text of [undefined, "", "{", "[]", "{}", '{"generation":"1"}', '{"generation":1.5}']) {
    it(`is nothing when the text is ${JSON.stringify(text)}`, () => expect(readResolved(text)).to.equal(undefined));
  }

  it("is nothing when there is more than a ConfigMap holds", () => {
    const long = JSON.stringify({ generation: 1, problems: { a: "x".repeat(RESOLVED_LIMIT) } });
    expect(readResolved(long)).to.equal(undefined);
  });

  it("leaves out a document that has not its sum, and what is no text", () => {
    const text = JSON.stringify({
      generation: 1,
      documents: { [sha256sum(CUE)]: `${CUE} `, [sha256sum("ok")]: "ok", x: 1 },
      keys: { a: 1, b: "k" },
      problems: [],
    });
    const read = readResolved(text);
    expect(read?.documents).to.deep.equal({ [sha256sum("ok")]: "ok" });
    expect(read?.keys).to.deep.equal({ b: "k" });
    expect(read?.problems).to.deep.equal({});
  });
});

describe("a policy's resolution, after some attempts", () => {
  it("has what was fetched, since when, and no problem", () => {
    expect(good()).to.deep.equal({
      generation: 1,
      keys: { [URI]: OLD },
      documents: { [sha256sum(CUE)]: CUE },
      problems: {},
      fetchedAt: { [URI]: "2030-01-01T00:00:00Z", [sha256sum(CUE)]: "2030-01-01T00:00:00Z" },
    });
  });

  it("keeps the last good key when a refresh fails, says why, and forgets that when it succeeds", () => {
    const failed = mergeResolution(good(), 1, NEEDS, attempts({ [URI]: { problem: "no answer" } }), NOW);
    expect(failed).to.deep.equal({ ...good(), problems: { [URI]: "no answer" } });
    const untried = mergeResolution(failed, 1, NEEDS, attempts(), NOW);
    expect(untried, "what was not tried stays as it was").to.deep.equal(failed);
    const same = mergeResolution(failed, 1, NEEDS, attempts({ [URI]: { value: OLD } }), NOW);
    expect(same, "the same key again").to.deep.equal(good());
    const rotated = mergeResolution(failed, 1, NEEDS, attempts({ [URI]: { value: NEW } }), NOW);
    expect(rotated.keys).to.deep.equal({ [URI]: NEW });
    expect(rotated.problems).to.deep.equal({});
    expect(rotated.fetchedAt[URI]).to.equal("2030-01-02T00:00:00Z");
  });

  it("never loses a value that the policy still needs, whatever fails", () => {
    const outcome = fc.oneof(
      fc.constant(undefined),
      fc.string().map((problem): Fetched => ({ problem })),
      fc.string().map((value): Fetched => ({ value })), // no key, and not the sum
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(outcome, outcome, fc.nat(3)), { maxLength: 6 }), (rounds) => {
        let resolution = good();
        for (const [key, document, generation] of rounds) {
          const keys = key === undefined ? {} : { [URI]: key };
          const documents = document === undefined ? {} : { [sha256sum(CUE)]: document };
          resolution = mergeResolution(resolution, generation, NEEDS, attempts(keys, documents), NOW);
          expect(resolution.keys).to.deep.equal({ [URI]: OLD });
          expect(resolution.documents).to.deep.equal({ [sha256sum(CUE)]: CUE });
        }
      }),
      { numRuns: 50 },
    );
  });

  it("lets go what the policy does not need any more", () => {
    const less = mergeResolution(good(), 2, { kms: [URI], documents: [] }, attempts(), NOW);
    expect(less).to.deep.include({ generation: 2, documents: {}, keys: { [URI]: OLD } });
    expect(Object.keys(less.fetchedAt)).to.deep.equal([URI]);
  });

  it("says of what was never there that it is not there", () => {
    const { keys, problems } = mergeResolution(undefined, 1, NEEDS, attempts({ [URI]: { problem: "refused" } }), NOW);
    expect(keys).to.deep.equal({});
    expect(problems).to.deep.equal({ [URI]: "refused", [URL_OF_CUE]: "it has not been fetched yet" });
  });

  it("takes no document with another sum, and no text that is no public key", () => {
    const wrong = attempts(
      { [URI]: { value: "-----BEGIN NONSENSE-----" } },
      { [sha256sum(CUE)]: { value: `${CUE} ` } },
    );
    const { keys, documents, problems } = mergeResolution(undefined, 1, NEEDS, wrong, NOW);
    expect({ keys, documents }).to.deep.equal({ keys: {}, documents: {} });
    expect(problems[URL_OF_CUE])
      .to.contain(sha256sum(`${CUE} `))
      .and.contain(sha256sum(CUE));
    expect(problems[URI]).to.contain("no public key");
  });

  it("does not hold a problem of another document with the same URL against one that is there", () => {
    const other = { url: URL_OF_CUE, sha256sum: "f".repeat(64) };
    const both = mergeResolution(
      good(),
      2,
      { kms: [], documents: [...NEEDS.documents, other] },
      attempts({}, { [other.sha256sum]: { problem: "wrong sum" } }),
      NOW,
    );
    expect(both.problems).to.deep.equal({ [URL_OF_CUE]: "wrong sum" });
    expect(mergeResolution(both, 3, { kms: [], documents: NEEDS.documents }, attempts(), NOW).problems).to.deep.equal(
      {},
    );
  });

  it("fits into a ConfigMap, and what is new never crowds out what is there", () => {
    const bodies = Array.from({ length: 12 }, (_, index) => `${index}`.padEnd(100_000, "\n")); // 200 kB each in JSON
    const documents = bodies.map((body, index) => ({
      url: `https://policies.example/${index}`,
      sha256sum: sha256sum(body),
    }));
    const all = attempts({}, Object.fromEntries(bodies.map((value) => [sha256sum(value), { value }])));
    const last = documents[11] ?? { url: "", sha256sum: "" };
    const first = mergeResolution(undefined, 1, { kms: [], documents: [last] }, all, THEN);
    const many = mergeResolution(first, 2, { kms: [], documents }, all, NOW);
    expect(many.documents[last.sha256sum], "the one that was there").to.equal(bodies[11]);
    const text = writeResolved(many);
    expect(Buffer.byteLength(text)).to.be.below(RESOLVED_LIMIT);
    expect(readResolved(text)).to.deep.equal(many);
    const missing = documents.filter(({ sha256sum: sum }) => many.documents[sum] === undefined);
    expect(missing).to.have.length(8);
    for (const { url } of missing) expect(many.problems[url]).to.contain("do not fit");
  });

  it("stays within the limit with a thousand problems", () => {
    const kms = Array.from({ length: 1_500 }, (_, index) => `hashivault://key-${index}`);
    const failing = attempts(Object.fromEntries(kms.map((uri) => [uri, { problem: "x".repeat(2_000) }])));
    expect(
      readResolved(writeResolved(mergeResolution(undefined, 1, { kms, documents: [] }, failing, NOW))),
    ).to.not.equal(undefined);
  });
});
