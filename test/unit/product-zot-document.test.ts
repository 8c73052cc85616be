import { expect } from "chai";
import fc from "fast-check";
import { isFields } from "../../core/json.ts";
import { ZOT_FORMAT, zotDocument } from "../../core/product/zot-document.ts";
import { isGlob, zotProblems } from "../../core/product/zot-validate.ts";

const SECTION = { enable: true, registries: [{ urls: ["https://ghcr.io"], onDemand: true, content: [] }] };

describe("zot's configuration file", () => {
  const BASE = `{
  "distSpecVersion": "1.1.1",
  "storage": { "rootDirectory": "/var/lib/zot", "gcDelay": 3600000000000000001, "x": 1.0, "y": 1e400 },
  "http": { "address": "0.0.0.0", "port": "5000", "__proto__": {"a": 1} },
  "extensions": { "search": { "enable": true }, "sync": { "downloadDir": "/tmp/zot" } }
}`;

  it("keeps every other byte of meaning when our part comes and goes, numbers as they are written", () => {
    const written = ZOT_FORMAT.write(BASE, SECTION);
    expect(written).to.contain("3600000000000000001").and.contain('"x": 1.0').and.contain('"y": 1e400');
    expect(ZOT_FORMAT.read(written)).to.deep.equal(SECTION);
    const back = ZOT_FORMAT.write(written, undefined);
    expect(back.replaceAll(/\s/g, "")).to.equal(BASE.replaceAll(/\s/g, ""));
  });

  it("keeps what any document has", () => {
    const other = fc
      .dictionary(fc.string(), fc.jsonValue())
      .filter((value) => !Object.keys(value).some((key) => key.toLowerCase() === "extensions"));
    fc.assert(
      fc.property(
        other,
        fc.dictionary(fc.constantFrom("search", "ui", "Metrics"), fc.jsonValue()),
        (document, extensions) => {
          const text = JSON.stringify({ ...document, extensions });
          const written = ZOT_FORMAT.write(text, SECTION);
          expect(JSON.parse(written)).to.deep.equal({
            ...JSON.parse(text),
            extensions: { ...JSON.parse(text).extensions, sync: SECTION },
          });
          expect(ZOT_FORMAT.read(written)).to.deep.equal(SECTION);
          const back = JSON.parse(ZOT_FORMAT.write(written, undefined)) as Record<string, unknown>;
          expect({ extensions: {}, ...back }).to.deep.equal(JSON.parse(text));
        },
      ),
      { numRuns: 30 },
    );
  });

  it("finds its parts in whatever case zot reads them", () => {
    const text = '{"Extensions":{"SYNC":{"Enable":true}}}';
    expect(ZOT_FORMAT.read(text)).to.deep.equal({ Enable: true });
    expect(JSON.parse(ZOT_FORMAT.write(text, SECTION))).to.deep.equal({ Extensions: { SYNC: SECTION } });
  });

  it("is ours only without what stays the owner's: downloadDir", () => {
    expect(ZOT_FORMAT.read(BASE)).to.equal(undefined);
    expect(ZOT_FORMAT.read('{"extensions":{"sync":{"enable":false}}}')).to.deep.equal({ enable: false });
  });

  for (const [name, text] of [
    ["no JSON", "http:\n  port: 5000\n"],
    ["an array", "[]"],
    ["nothing", ""],
    ["extensions that are no object", '{"extensions": []}'],
    ["a sync that is no object", '{"extensions": {"sync": true}}'],
  ] as const) {
    it(`is refused with a reason: ${name}`, () => {
      expect(() => ZOT_FORMAT.read(text)).to.throw(/not a JSON object|is not an object/);
      expect(() => ZOT_FORMAT.write(text, SECTION)).to.throw(/not a JSON object|is not an object/);
    });
  }
});

describe("zot's own checks of a configuration, as its source has them (not run against zot)", () => {
  const whole = (registry: object, rest: object = {}) => ({
    ...rest,
    extensions: { sync: { enable: true, registries: [{ urls: ["https://ghcr.io"], onDemand: true, ...registry }] } },
  });
  const content = (one: object) => ({ content: [{ prefix: "**", destination: "/a", ...one }] });

  const good: readonly [string, object][] = [
    ["on demand", whole({})],
    ["polled with content", whole({ onDemand: false, pollInterval: "6h", ...content({}) })],
    ["retries with their delay", whole({ maxRetries: 3, retryDelay: "5m", maxRetryDelay: "1h" })],
    ["preserveDigest with compat", whole({ preserveDigest: true }, { http: { compat: ["docker2s2"] } })],
    [
      "stripPrefix into the root with a glob",
      whole(content({ prefix: "library/**", destination: "/", stripPrefix: true })),
    ],
    ["regular expressions", whole(content({ tags: { regex: "^v[0-9]+", excludeRegex: ".*-rc", semver: true } }))],
    [
      "remote storage with downloadDir",
      {
        storage: { storageDriver: { name: "s3" } },
        extensions: { sync: { downloadDir: "/tmp", registries: [{ urls: ["https://a.io"], onDemand: true }] } },
      },
    ],
    ["keys in another case", whole({ OnDemand: true, TLSVerify: false })],
  ];
  for (const [name, document] of good)
    it(`pass: ${name}`, () => expect(zotProblems(isFields(document) ? document : {})).to.deep.equal([]));

  const bad: readonly [string, object, RegExp][] = [
    ["maxRetries alone", whole({ maxRetries: 3 }), /need retryDelay/],
    ["a longest delay that is shorter", whole({ retryDelay: "5m", maxRetryDelay: "299s" }), /less than retryDelay/],
    ["preserveDigest without compat", whole({ preserveDigest: true }), /needs http.compat/],
    [
      "preserveDigest with an empty compat",
      whole({ preserveDigest: true }, { http: { compat: [] } }),
      /needs http.compat/,
    ],
    ["a prefix that is no glob", whole(content({ prefix: "a[" })), /no glob/],
    ["tags that are no regular expression", whole(content({ tags: { regex: "(" } })), /tags.regex/],
    ["a look-ahead, which RE2 has not", whole(content({ tags: { excludeRegex: "(?=a)" } })), /tags.excludeRegex/],
    [
      "stripPrefix into the root without a glob",
      whole(content({ prefix: "library/nginx", destination: "/", stripPrefix: true })),
      /needs a glob/,
    ],
    ["a key that nobody knows", whole({ onDemnd: true }), /onDemnd, which zot does not know/],
    ["neither on demand nor polled", whole({ onDemand: false }), /zot ignores it/],
    ["polled without content", whole({ onDemand: false, pollInterval: "1h" }), /zot ignores it/],
    ["no duration", whole({ pollInterval: "1 hour" }), /pollInterval is no duration/],
    ["no URL", whole({ urls: ["ghcr.io/x"] }), /no valid urls/],
    ["no requests per second", whole({ reqPerSec: 0 }), /more than 0/],
    [
      "remote storage without downloadDir",
      whole({}, { Storage: { storageDriver: { name: "s3" } } }),
      /needs extensions.sync.downloadDir/,
    ],
  ];
  for (const [name, document, message] of bad) {
    it(`find: ${name}`, () => expect(zotProblems(isFields(document) ? document : {}).join("; ")).to.match(message));
  }

  it("take globs as doublestar does", () => {
    for (const glob of ["**", "a/**", "a/[a-z]*", "{a,b}/*", "[]a]", "\\[", "[!a]"])
      expect(isGlob(glob), glob).to.equal(true);
    for (const glob of ["[", "a[b", "{a", "a}", "\\", "[a\\"]) expect(isGlob(glob), glob).to.equal(false);
  });

  it("read a whole document", () => expect(zotDocument("{}")).to.deep.equal({}));
});
