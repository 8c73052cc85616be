import { expect } from "chai";
import fc from "fast-check";
import { durationMs } from "../../core/duration.ts";
import { contentOf } from "../../core/refresh/content.ts";
import { tagsToFollow } from "../../core/refresh/follow.ts";
import { cachedStatus, expiryOf, type HeldTag, pullReason } from "../../core/refresh/held.ts";
import { newestFirst, versionOf } from "../../core/refresh/order.ts";
import { type RefreshPlan, type RefreshSpec, readRefresh } from "../../core/refresh/plan.ts";
import { untilFirstLookMs, untilNextLookMs, untilRetryMs } from "../../core/refresh/schedule.ts";
import { cpuMs } from "../support/cpu-time.ts";

const NOW = new Date("2030-01-01T00:00:00Z");
const HOUR = 3_600_000;
const DIGEST = `sha256:${"a".repeat(64)}`;
const OTHER = `sha256:${"b".repeat(64)}`;

function planOf(refresh: Omit<RefreshSpec, "interval">): RefreshPlan {
  const read = readRefresh({ refresh: { interval: "1h", ...refresh } });
  if (read.kind !== "plan") throw new Error(JSON.stringify(read));
  return read.plan;
}

const follow = (refresh: Omit<RefreshSpec, "interval">, tags: readonly string[], held: readonly string[] = []) =>
  tagsToFollow(planOf(refresh), tags, new Set(held));

describe("refresh: spec.refresh", () => {
  it("is read, or is not there", () => {
    expect(readRefresh({})).to.deep.equal({ kind: "none" });
    expect(planOf({ keep: 3 })).to.deep.equal({ intervalMs: HOUR, keep: 3 });
  });

  for (const semver of ["not a range", ">=1.2.3.4", ">=x.y", "1.2 -", "~>banana"])
    it(`says that "${semver}" is no range, and where it stands`, () => {
      const read = readRefresh({ refresh: { interval: "1h", tags: [{ glob: "*" }, { semver }] } });
      expect(read.kind === "problem" && read.message).to.include(`spec.refresh.tags[1].semver: "${semver}"`);
    });

  for (const interval of ["", "1", "59s", "-1h", "1d", "h", "1h30"])
    it(`refuses the interval "${interval}"`, () => {
      expect(readRefresh({ refresh: { interval } }).kind).to.equal("problem");
    });

  it("knows Go's durations", () => {
    const cases = { "90m": 90 * 60_000, "1h30m": 1.5 * HOUR, "1.5h": 1.5 * HOUR, "500ms": 500, "0s": 0 };
    for (const [text, ms] of Object.entries(cases)) expect(durationMs(text), text).to.equal(ms);
  });
});

describe("refresh: which tags", () => {
  it("follows globs, in which only * is special", () => {
    expect(follow({ tags: [{ glob: "v1.*" }] }, ["v1.2", "v1x2", "v10.1", "v1."])).to.deep.equal(["v1.2", "v1."]);
  });

  it("follows ranges of whole versions, with or without v, and prereleases only where the range names one", () => {
    const tags = ["1.20.0", "v1.21.3", "1.22", "2.0.0", "1.19.9", "1.21.0-alpine", "latest", "1.23.0"];
    expect(follow({ tags: [{ semver: ">=1.20.0 <2.0.0" }] }, tags)).to.deep.equal(["1.23.0", "v1.21.3", "1.20.0"]);
    expect(follow({ tags: [{ semver: ">=1.21.0-0 <1.22.0" }] }, tags)).to.deep.equal(["v1.21.3", "1.21.0-alpine"]);
  });

  it("keeps the newest, and beside them what is named in full", () => {
    const tags = ["1.9.0", "1.10.0", "latest", "1.11.0", "edge"];
    expect(follow({ tags: [{ semver: "1.x" }, { glob: "latest" }], keep: 2 }, tags)).to.deep.equal([
      "1.11.0",
      "1.10.0",
      "latest",
    ]);
    expect(follow({ tags: [{ glob: "*" }], keep: 1 }, tags)).to.deep.equal(["1.11.0"]);
  });

  it("without tags follows what was pulled before", () => {
    expect(follow({}, ["a", "b", "c"], ["b", "gone"])).to.deep.equal(["b"]);
    expect(follow({ keep: 1 }, ["1.0.0", "1.1.0"], ["1.0.0", "1.1.0"])).to.deep.equal(["1.1.0"]);
  });

  it("leaves signatures to their images, unless they are asked for", () => {
    const signature = `sha256-${"a".repeat(64)}.sig`;
    expect(follow({ tags: [{ glob: "*" }] }, [signature, "v1"])).to.deep.equal(["v1"]);
    expect(follow({ tags: [{ glob: "sha256-*" }] }, [signature, "v1"])).to.deep.equal([signature]);
  });

  it("takes linear time for the worst pattern", () => {
    const tags = Array.from({ length: 1_000 }, (_, i) => `${"a".repeat(120)}${i}`);
    const evil = () => follow({ tags: [{ glob: `${"*a".repeat(60)}*b` }] }, tags);
    expect(evil()).to.deep.equal([]);
    expect(cpuMs(evil)).to.be.below(1_000);
  });
});

describe("refresh: the newest first", () => {
  it("goes by version, then by the numbers in names", () => {
    const want = ["2.0.0", "v1.10.0", "1.10.0-rc.1", "1.9.0", "1.9", "nightly-2026-10-1", "nightly-2026-9-30", "edge"];
    expect(newestFirst([...want].reverse())).to.deep.equal(want);
  });

  it("knows what is no version", () => {
    for (const tag of ["latest", "v", "1.2.3.4", "1.2.3_4", "1..2", "sha-1234567"])
      expect(versionOf(tag), tag).to.equal(undefined);
  });

  it("is a total order: any arrangement of any tags comes out the same", () => {
    const number = fc.oneof(
      fc.nat(30).map(String),
      fc.constantFrom("00", "01", "9007199254740993", "9007199254740992"),
    );
    const word = fc.constantFrom("a", "B", "-", ".", "_", "v", "rc", "Infinity", "e", "x");
    const tag = fc.oneof(
      fc.array(fc.oneof(number, word), { minLength: 1, maxLength: 6 }).map((parts) => parts.join("")),
      fc.tuple(number, number, number).map((numbers) => numbers.join(".")),
    );
    fc.assert(
      fc.property(
        fc
          .uniqueArray(tag, { maxLength: 12 })
          .chain((tags) => fc.tuple(fc.constant(tags), fc.shuffledSubarray(tags, { minLength: tags.length }))),
        ([tags, shuffled]) => {
          expect(newestFirst(shuffled)).to.deep.equal(newestFirst(tags));
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe("refresh: what is missing", () => {
  const wanted = { repository: "app", tag: "v1", digest: DIGEST };
  const held: HeldTag = { ...wanted, lastPull: "2029-12-31T00:00:00Z", bytes: 1 };

  it("is what is new, moved, or expired in the cache", () => {
    expect(pullReason(wanted, undefined, 0, NOW)).to.equal("new");
    expect(pullReason(wanted, { ...held, digest: OTHER }, 48 * HOUR, NOW)).to.equal("moved");
    expect(pullReason(wanted, held, 24 * HOUR, NOW)).to.equal("expired");
    expect(pullReason(wanted, held, 25 * HOUR, NOW)).to.equal(undefined);
    expect(pullReason(wanted, held, Number.POSITIVE_INFINITY, NOW)).to.equal(undefined);
  });

  it("counts what has no time of its pull as expired", () => {
    expect(expiryOf(wanted, HOUR)).to.equal(0);
    expect(expiryOf(wanted, Number.POSITIVE_INFINITY)).to.equal(Number.POSITIVE_INFINITY);
  });
});

describe("refresh: status.cached", () => {
  const tag = (repository: string, name: string): HeldTag => ({ repository, tag: name, digest: DIGEST });

  it("is the same for the same holdings, whatever their order and the time", () => {
    const held = [tag("b", "v1"), tag("a", "v1"), tag("a", "v2")];
    const first = cachedStatus(held, undefined, "2030-01-01T00:00:00Z");
    expect(cachedStatus([...held].reverse(), first, "2031-01-01T00:00:00Z")).to.deep.equal(first);
    expect(first.tags?.map((one) => `${one.repository}:${one.tag}`)).to.deep.equal(["a:v2", "a:v1", "b:v1"]);
    expect(cachedStatus(held.slice(1), first, "2031-01-01T00:00:00Z").refreshed).to.equal("2031-01-01T00:00:00Z");
  });

  it("lists a hundred, of every repository the newest, and counts all", () => {
    const many = Array.from({ length: 300 }, (_, i) => tag("many", `1.0.${i}`));
    const status = cachedStatus([...many, tag("one", "v1")], undefined, "2030-01-01T00:00:00Z");
    expect(status.total).to.equal(301);
    expect(status.tags).to.have.length(100);
    expect(status.tags?.[0]?.tag).to.equal("1.0.299");
    expect(status.tags?.at(-1)).to.deep.equal(tag("one", "v1"));
  });
});

describe("refresh: when", () => {
  const uids = Array.from({ length: 2_000 }, (_, i) => `uid-${i}`);

  it("looks at a new rule at once, and spreads the others over the interval after a restart", () => {
    expect(untilFirstLookMs("uid", HOUR, false)).to.equal(0);
    const minutes = new Set(uids.map((uid) => Math.floor(untilFirstLookMs(uid, HOUR, true) / 60_000)));
    expect(minutes.size).to.equal(60);
    expect(Math.max(...uids.map((uid) => untilFirstLookMs(uid, HOUR, true)))).to.be.below(HOUR);
  });

  it("looks again after the interval, a tenth more or less, for one rule always the same", () => {
    const waits = uids.map((uid) => untilNextLookMs(uid, HOUR));
    expect(Math.min(...waits)).to.be.within(0.9 * HOUR, 0.91 * HOUR);
    expect(Math.max(...waits)).to.be.within(1.09 * HOUR, 1.1 * HOUR);
    expect(untilNextLookMs("uid", HOUR)).to.equal(untilNextLookMs("uid", HOUR));
  });

  it("tries again later and later, and never before it was asked to", () => {
    const waits = [1, 2, 3, 10].map((failures) => untilRetryMs("uid", 24 * HOUR, failures));
    expect(waits[0]).to.be.within(48_000, 60_000);
    expect(waits[3]).to.be.within(0.8 * HOUR, HOUR);
    expect(untilRetryMs("uid", HOUR, 1, 7 * HOUR)).to.equal(7 * HOUR);
    expect(untilRetryMs("uid", HOUR, 1, 1_000 * HOUR)).to.equal(24 * HOUR);
    expect(untilRetryMs("uid", 60_000, 10)).to.equal(60_000);
  });
});

describe("refresh: what an image consists of", () => {
  const descriptor = (mediaType: string, digest = DIGEST) => ({ mediaType, digest, size: 3 });

  it("is configuration and layers, without those that no registry holds", () => {
    const foreign = descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", OTHER);
    const manifest = { schemaVersion: 2, config: descriptor("config"), layers: [foreign, descriptor("layer")] };
    expect(contentOf(JSON.stringify(manifest))?.blobs.map(({ mediaType }) => mediaType)).to.deep.equal([
      "config",
      "layer",
    ]);
  });

  for (const [name, text] of Object.entries({
    "no JSON": "{",
    "schema 1": JSON.stringify({ schemaVersion: 1 }),
    "a layer without a digest": JSON.stringify({ schemaVersion: 2, layers: [{ mediaType: "x", size: 1 }] }),
    "a layer of another algorithm": JSON.stringify({
      schemaVersion: 2,
      layers: [descriptor("x", `sha512:${"a".repeat(128)}`)],
    }),
    "layers that are no list": JSON.stringify({ schemaVersion: 2, layers: {} }),
    "100,000 layers": JSON.stringify({
      schemaVersion: 2,
      layers: Array.from({ length: 100_000 }, () => descriptor("x")),
    }),
  }))
    it(`is nothing for ${name}`, () => expect(contentOf(text)).to.equal(undefined));
});
