import { createHash } from "node:crypto";
import { expect } from "chai";
import fc from "fast-check";
import type { SecretContent } from "../../core/cacheregistry/credentials.ts";
import {
  artifactTypesOf,
  filterReferrers,
  formatReferrers,
  nextReferrers,
  parseReferrers,
  type Referrer,
  referrersTag,
  uniteReferrers,
} from "../../core/gateway/referrers.ts";
import { type ReferrersProblem, referrersUnknown } from "../../core/gateway/referrers-errors.ts";
import { readTag } from "../../core/gateway/referrers-tag.ts";
import { directUpstreams, formatUpstreams, parseUpstreams } from "../../core/gatewayaccess/upstreams.ts";

const TYPE = "application/vnd.oci.image.manifest.v1+json";
const INDEX = "application/vnd.oci.image.index.v1+json";
const digestAt = (index: number): string => `sha256:${index.toString(16).padStart(64, "0")}`;
const entry = (index: number, more: Partial<Referrer> = {}): Referrer => ({
  mediaType: TYPE,
  digest: digestAt(index),
  size: 2,
  ...more,
});

const referrer = fc.record(
  {
    mediaType: fc.constantFrom(TYPE, INDEX),
    digest: fc.nat(20).map(digestAt),
    size: fc.nat(),
    artifactType: fc.constantFrom("a/a", "b/b"),
    annotations: fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), fc.string(), { minKeys: 1, noNullPrototype: true }),
  },
  { requiredKeys: ["mediaType", "digest", "size"] },
);

describe("a list of referrers", () => {
  it("is read as it was written", () => {
    fc.assert(
      fc.property(fc.array(referrer), (all) => {
        expect(parseReferrers(formatReferrers(all))).to.deep.equal(all);
      }),
    );
  });

  it("is none when any entry is none: what is left out would seem not to exist", () => {
    for (const [field, value] of [
      ["digest", "sha256:short"],
      ["digest", 7],
      ["digest", `sha384:${"0".repeat(96)}`],
      ["size", -1],
      ["size", "2"],
      ["mediaType", 1],
    ] as const) {
      const manifests = [entry(1), { ...entry(2), [field]: value }];
      expect(parseReferrers(JSON.stringify({ schemaVersion: 2, manifests })), field).to.equal(undefined);
    }
    for (const text of [
      "",
      "null",
      "[]",
      "{}",
      '{"schemaVersion":1,"manifests":[]}',
      '{"schemaVersion":2,"manifests":{}}',
    ])
      expect(parseReferrers(text), text).to.equal(undefined);
    expect(parseReferrers('{"schemaVersion":2,"manifests":null}'), "Go's empty list").to.deep.equal([]);
  });

  it("is a set when several are united: nothing is lost, nothing twice, the first of a digest holds", () => {
    fc.assert(
      fc.property(fc.array(referrer), fc.array(referrer), (one, other) => {
        const both = uniteReferrers(one, other);
        const digests = both.map(({ digest }) => digest);
        expect(new Set(digests).size).to.equal(digests.length);
        expect(new Set(digests)).to.deep.equal(new Set([...one, ...other].map(({ digest }) => digest)));
        for (const item of both) expect([...one, ...other].find(({ digest }) => digest === item.digest)).to.equal(item);
      }),
    );
  });

  it("is filtered by artifact type, by any of several, and not at all by none", () => {
    const all = [entry(1, { artifactType: "a/a" }), entry(2, { artifactType: "b/b" }), entry(3)];
    const of = (query: string) =>
      filterReferrers(all, artifactTypesOf(query)).map(({ digest }) => all.findIndex((one) => one.digest === digest));
    expect(of("")).to.deep.equal([0, 1, 2]);
    expect(of("n=5")).to.deep.equal([0, 1, 2]);
    expect(of("artifactType=b%2Fb")).to.deep.equal([1]);
    expect(of("artifactType=a%2Fa&artifactType=b%2Fb")).to.deep.equal([0, 1]);
    expect(of("artifactType=c%2Fc")).to.deep.equal([]);
  });
});

describe("the next page of referrers", () => {
  const path = `referrers/${digestAt(1)}`;
  const next = (link?: string, from = path) => nextReferrers(link, "acme/app", from);
  const to = (target: string) => `<${target}>; rel="next"`;

  it("is another page of the same listing, of the registry itself", () => {
    expect(next(to(`/v2/acme/app/${path}?last=x`))).to.deep.equal({ next: `${path}?last=x`, foreign: false });
    expect(next(to(`https://elsewhere.example/v2/acme/app/${path}?n=1`))).to.deep.equal({
      next: `${path}?n=1`,
      foreign: false,
    });
    expect(next(to("?n=2"), `${path}?n=1`)).to.deep.equal({ next: `${path}?n=2`, foreign: false });
    for (const link of [undefined, "", '<https://x.example>; rel="describedby"'])
      expect(next(link)).to.deep.equal({ foreign: false });
  });

  it("is foreign where it is anything else", () => {
    for (const link of [
      to(`/v2/acme/other/${path}?n=1`),
      to("/admin?x"),
      to(`/v2/acme/app/${path}/../../x`),
      to(`/v2/acme/app/${path}`),
      to("http://["),
      "next",
    ])
      expect(next(link), link).to.deep.equal({ foreign: true });
    expect(next(to(`/v2/acme/app/${path}?n=1`), `${path}?n=1`)).to.deep.equal({ foreign: true });
  });
});

describe("the referrers tag", () => {
  const body = Buffer.from(formatReferrers([entry(1)]));
  const digest = `sha256:${createHash("sha256").update(body).digest("hex")}`;
  const answer = { status: 200, contentType: INDEX, announced: digest, body };
  const read = (change: Partial<typeof answer>, subject = digestAt(9)): string => {
    const tag = readTag({ ...answer, ...change }, subject);
    return tag.kind === "failed" ? tag.failure.problem : tag.kind;
  };

  it("is named after the digest, cut as the specification says", () => {
    expect(referrersTag(digestAt(1))).to.equal(`sha256-${digestAt(1).slice(7)}`);
    expect(referrersTag(`sha512:${"a".repeat(128)}`)).to.equal(`sha512-${"a".repeat(64)}`);
  });

  it("lists what its index lists; the manifest itself, another type or none is no list", () => {
    expect(read({})).to.equal("list");
    expect(read({}, digest), "GitLab's registry reads the tag as the digest").to.equal("none");
    expect(read({ contentType: TYPE })).to.equal("none");
    expect(read({ status: 404 })).to.equal("none");
  });

  it("is not known where its answer says nothing", () => {
    expect(read({ status: 401 })).to.equal("UPSTREAM_REFUSED");
    expect(read({ status: 429 })).to.equal("UPSTREAM_THROTTLED");
    expect(read({ status: 503 })).to.equal("UPSTREAM_MALFORMED");
    expect(read({ announced: digestAt(3) })).to.equal("UPSTREAM_MALFORMED");
    expect(read({ body: Buffer.from("{}"), announced: "" })).to.equal("UPSTREAM_MALFORMED");
  });
});

describe("an answer without a list", () => {
  it("is an error of its kind, which names the rule and says that nothing is known", () => {
    const statuses: [ReferrersProblem, number][] = [
      ["UPSTREAM_UNREACHABLE", 502],
      ["UPSTREAM_TIMEOUT", 504],
      ["UPSTREAM_REFUSED", 403],
      ["UPSTREAM_THROTTLED", 429],
      ["UPSTREAM_MALFORMED", 502],
      ["UPSTREAM_EXCESSIVE", 502],
      ["UPSTREAM_CREDENTIALS", 502],
      ["UPSTREAM_BUSY", 503],
    ];
    for (const [problem, status] of statuses) {
      const error = referrersUnknown({ problem, why: "so it is" }, digestAt(1), {
        rule: "app",
        source: "x.example/app",
      });
      expect(error.status, problem).to.equal(status);
      expect(error.message).to.include('CacheRule "app"').and.include("x.example/app");
    }
  });
});

describe("what the gateway asks upstreams with", () => {
  const secret = (name: string, type: string, data: Record<string, string>): SecretContent => ({
    metadata: { name },
    type,
    data: Object.fromEntries(Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString("base64")])),
  });
  const known = new Map([
    ["good", secret("good", "kubernetes.io/basic-auth", { username: "u", password: "p" })],
    ["bad", secret("bad", "Opaque", { username: "u", password: "p" })],
  ]);
  const of = (...specs: Parameters<typeof directUpstreams>[0]) => directUpstreams(specs, (name) => known.get(name));
  const ref = (name: string) => ({ credentials: { secretRef: { name } } });

  it("are the credentials of usable Secrets, by host, and nothing of other kinds", () => {
    const other = { host: "c.example", credentials: { secretsManagerArn: "arn:aws:secretsmanager:x" } as object };
    expect(
      of({ host: "docker.io", ...ref("good") }, { host: "b.example", ...ref("bad") }, other, {
        host: "d.local:5000",
        ...ref("gone"),
      }),
    ).to.have.deep.members([
      { host: "index.docker.io", plainHTTP: false, credentials: { username: "u", password: "p" } },
      { host: "b.example", plainHTTP: false },
      { host: "c.example", plainHTTP: false },
      { host: "d.local:5000", plainHTTP: true },
    ]);
  });

  it("are written and read as they are, in any order alike, and refused when broken, without being quoted", () => {
    const all = of({ host: "b.example", ...ref("good"), caBundle: "PEM" }, { host: "a.example", plainHTTP: true });
    const text = formatUpstreams(all);
    expect(formatUpstreams(all.toReversed())).to.equal(text);
    expect([...parseUpstreams(text).values()]).to.have.deep.members([...all]);
    const half = { host: "x", plainHTTP: true, username: "hush" };
    for (const broken of [
      null,
      { version: 2, upstreams: [] },
      { version: 1 },
      { version: 1, upstreams: [half] },
      { version: 1, upstreams: [{}] },
    ])
      expect(() => parseUpstreams(JSON.stringify(broken)))
        .to.throw(/the list of upstreams/)
        .and.satisfy(({ message }: Error) => !message.includes("hush"));
    fc.assert(
      fc.property(fc.nat(text.length - 2), (at) => {
        expect(() => parseUpstreams(text.slice(0, at))).to.throw(/the list of upstreams/);
      }),
    );
  });

  it("never fill the Secret that they share", () => {
    const many = Array.from({ length: 100 }, (_, at) => ({
      host: `h${at}.example`,
      caBundle: `${"x".repeat(60_000)}\n`,
    }));
    const text = formatUpstreams(of(...many, { host: "zz.example", ...ref("good") }));
    expect(text.length).to.be.lessThan(256 * 1024);
    expect(parseUpstreams(text).size).to.be.within(4, 5);
  });
});
