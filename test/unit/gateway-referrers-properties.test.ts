import { createHash } from "node:crypto";
import { expect } from "chai";
import fc from "fast-check";
import { DomainError } from "../../core/errors.ts";
import {
  formatReferrers,
  nextReferrers,
  parseReferrers,
  type Referrer,
  referrersTag,
} from "../../core/gateway/referrers.ts";
import { readTag } from "../../core/gateway/referrers-tag.ts";
import { isContentDigest, parseRegistryRequest } from "../../core/gateway/request.ts";
import { formatUpstreams, parseUpstreams } from "../../core/gatewayaccess/upstreams.ts";

const INDEX = "application/vnd.oci.image.index.v1+json";
const hex = (letters: number) => fc.stringMatching(new RegExp(`^[0-9a-f]{${letters}}$`));
const digest = fc.oneof(
  hex(64).map((text) => `sha256:${text}`),
  hex(128).map((text) => `sha512:${text}`),
);
/** What is nearly a descriptor: each part may be of any kind. */
const nearly = <T>(sound: fc.Arbitrary<T>): fc.Arbitrary<unknown> =>
  fc.oneof({ weight: 6, arbitrary: sound as fc.Arbitrary<unknown> }, fc.jsonValue());
const descriptor = fc.record(
  {
    mediaType: nearly(fc.constant(INDEX)),
    digest: nearly(digest),
    size: nearly(fc.nat()),
    artifactType: nearly(fc.constant("a/a")),
    annotations: nearly(fc.dictionary(fc.string(), nearly(fc.string()), { noNullPrototype: true })),
  },
  { requiredKeys: [] },
);
const sound = fc.record({ mediaType: fc.constant(INDEX), digest, size: fc.nat() });
/** Of the right kinds. */
const alike = fc.record({
  mediaType: fc.string(),
  digest: fc.oneof(digest, fc.string()),
  size: fc.oneof(fc.nat(), fc.integer(), fc.double({ noNaN: true, noDefaultInfinity: true })),
});
const index = fc.oneof(
  fc.record({ schemaVersion: nearly(fc.constant(2)), manifests: nearly(fc.array(nearly(descriptor))) }),
  fc.record({ schemaVersion: fc.constant(2), manifests: fc.array(fc.oneof(sound, descriptor), { minLength: 1 }) }),
  fc.record({ schemaVersion: fc.constant(2), manifests: fc.array(alike, { minLength: 1, maxLength: 2 }) }),
);
const text = fc.oneof(
  fc.string(),
  fc.json(),
  index.map((one) => JSON.stringify(one)),
  fc.constant(
    `{"schemaVersion":2,"manifests":[{"mediaType":"a/a","digest":"sha256:${"0".repeat(64)}","size":1,"annotations":{"__proto__":"x"}}]}`,
  ),
);

function isSound({ mediaType, digest: of, size, artifactType, annotations = {} }: Referrer): boolean {
  const texts = [mediaType, ...(artifactType === undefined ? [] : [artifactType]), ...Object.values(annotations)];
  return (
    isContentDigest(of) && Number.isSafeInteger(size) && size >= 0 && texts.every((one) => typeof one === "string")
  );
}

describe("Foreign bytes: lists of referrers", () => {
  it("any text is a list of sound descriptors, as many as it has, or none; what was read is read again as it is", () => {
    let lists = 0;
    fc.assert(
      fc.property(text, (given) => {
        const read = parseReferrers(given);
        if (read === undefined) return;
        lists += Math.sign(read.length);
        expect(read.every(isSound)).to.equal(true);
        const { manifests } = JSON.parse(given) as { manifests: unknown[] | null };
        expect(read).to.have.length(manifests?.length ?? 0);
        expect(parseReferrers(formatReferrers(read))).to.deep.equal(read);
      }),
      { numRuns: 200 },
    );
    expect(lists, "control: some are lists").to.be.greaterThan(0);
  });

  it("any answer for the tag is a list, none, or a failure; a list is only ever an index of the digest it names", () => {
    const type = fc.constantFrom(INDEX, `${INDEX}; charset=utf-8`, "text/html", "application/json", undefined);
    const body = fc.oneof(
      text.map((one) => Buffer.from(one)),
      fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    );
    const announced = fc.oneof(fc.constant(undefined), fc.constant("own"), digest, fc.string());
    const status = fc.oneof(fc.constant(200), fc.integer({ min: 100, max: 599 }));
    fc.assert(
      fc.property(type, body, announced, status, digest, (contentType, bytes, said, code, subject) => {
        const own = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
        const named = said === "own" ? own : said;
        const read = readTag({ status: code, contentType, announced: named, body: bytes }, subject);
        if (read.kind === "failed") return;
        if (read.kind === "none") expect([200, 404]).to.include(code);
        if (read.kind !== "list") return;
        expect([code, contentType?.startsWith(INDEX)]).to.deep.equal([200, true]);
        if (named?.startsWith("sha256:") === true) expect(named).to.equal(own);
        expect(read.referrers).to.deep.equal(parseReferrers(bytes.toString("utf8")));
      }),
      { numRuns: 200 },
    );
  });

  it("a page of HTML under the tag says nothing: it is what something between here and the upstream says", () => {
    for (const contentType of ["text/html; charset=utf-8", "text/plain", undefined])
      expect(
        readTag(
          { status: 200, contentType, announced: undefined, body: Buffer.from("<html>") },
          `sha256:${"0".repeat(64)}`,
        ).kind,
      ).to.equal("failed");
  });

  it("whatever a Link says, the next request is for the same listing of the same registry", () => {
    const path = `referrers/sha256:${"a".repeat(64)}`;
    const target = fc.oneof(
      fc.string(),
      fc.constantFrom(
        "//evil.example/x",
        "http://evil.example/v2/acme/app/",
        "../../..",
        `${path}?n=1#x`,
        "?a\\b",
        "\\\\evil",
      ),
    );
    fc.assert(
      fc.property(target, fc.string(), (to, query) => {
        for (const link of [to, `<${to}>; rel="next"`, `</v2/acme/app/${path}?${query}>; rel="next"`]) {
          const { next } = nextReferrers(link, "acme/app", path);
          if (next === undefined) continue;
          const url = new URL(`http://up.example/v2/acme/app/${next}`);
          expect([url.host, url.pathname]).to.deep.equal(["up.example", `/v2/acme/app/${path}`]);
          expect(next).to.match(/^[\x21-\x7e]+$/);
        }
      }),
    );
  });

  it("whatever is asked for, what the upstream is asked for is a digest and its tag, of one spelling", () => {
    const query = fc.oneof(fc.string(), fc.constant("artifactType=a%2Fb"), fc.constant("n=1&last=../x"));
    fc.assert(
      fc.property(fc.oneof(digest, fc.string()), query, (reference, search) => {
        const parsed = parseRegistryRequest("GET", `/v2/app/referrers/${reference}?${search}`);
        if (!parsed.ok || parsed.request.kind !== "referrers") return;
        expect(parsed.request.reference).to.match(/^sha(?:256:[0-9a-f]{64}|512:[0-9a-f]{128})$/);
        expect(referrersTag(parsed.request.reference)).to.match(/^sha(?:256|512)-[0-9a-f]{64}$/);
      }),
    );
  });
});

describe("Foreign bytes: the list of upstreams", () => {
  const entry = fc.record(
    {
      host: nearly(fc.domain()),
      plainHTTP: nearly(fc.boolean()),
      caBundle: nearly(fc.string()),
      username: nearly(fc.constant("user-of-somebody")),
      password: nearly(fc.constant("hush-hush-hush")),
    },
    { requiredKeys: [] },
  );
  const sound = fc.record({ host: fc.domain(), plainHTTP: fc.boolean(), caBundle: fc.string() });
  const document = fc.oneof(
    fc.record({ version: nearly(fc.constant(1)), upstreams: nearly(fc.array(nearly(entry))) }),
    fc.record({ version: fc.constant(1), upstreams: fc.array(sound, { minLength: 1 }) }),
  );

  it("any text is a list that is written as it was read, or an error of ours that quotes nothing of it", () => {
    let lists = 0;
    const given = fc.oneof(
      fc.string(),
      document.map((one) => JSON.stringify(one)),
    );
    fc.assert(
      fc.property(given, (one) => {
        let read: ReturnType<typeof parseUpstreams>;
        try {
          read = parseUpstreams(one);
        } catch (thrown) {
          expect(thrown).to.be.instanceOf(DomainError);
          expect((thrown as Error).message).to.match(/^the list of upstreams [a-z0-9 ,:-]+$/i);
          expect((thrown as Error).message).to.not.include("hush");
          return;
        }
        lists += Math.sign(read.size);
        for (const [host, upstream] of read) {
          expect(upstream.host).to.equal(host);
          const { username, password } = upstream.credentials ?? { username: "", password: "" };
          expect([typeof username, typeof password]).to.deep.equal(["string", "string"]);
        }
        expect(parseUpstreams(formatUpstreams([...read.values()]))).to.deep.equal(read);
      }),
      { numRuns: 200 },
    );
    expect(lists, "control: some are lists").to.be.greaterThan(0);
  });

  it("is bounded, in bytes and in hosts", () => {
    const many = Array.from({ length: 101 }, (_, at) => ({ host: `h${at}.example`, plainHTTP: false }));
    const of = (upstreams: unknown) => JSON.stringify({ version: 1, upstreams });
    expect(parseUpstreams(of(many.slice(1))).size, "control").to.equal(100);
    expect(() => parseUpstreams(of(many))).to.throw("too long");
    expect(() => parseUpstreams(`${of([])}${" ".repeat(256 * 1024)}`)).to.throw("larger than");
    expect(() => parseUpstreams("[".repeat(200_000))).to.throw("no");
  });
});
