import { expect } from "chai";
import { type CacheContext, endOf, isUsable, lifeOf } from "../../core/cache/freshness.ts";
import type { VerificationRecord } from "../../core/cache/record.ts";
import { keepLastGood } from "../../core/policy/compile.ts";
import { ANNOTATION } from "../../crds/names.ts";
import { keyed, PEM, policy } from "../support/admission.ts";

const SPEC = { images: [{ glob: "ghcr.io/**" }], authorities: [{ name: "k", key: { data: PEM } }] };
const annotated = (ttl: string) => policy(SPEC, {}, { annotations: { [ANNOTATION.cacheTtl]: ttl } });

describe("a policy's own cache-ttl", () => {
  for (const [text, seconds] of [
    ["1s", 1],
    ["1h30m", 5_400],
    ["30d", 30 * 86_400],
    ["0", 0],
    ["0s", 0],
  ] as const) {
    it(`${text} is ${seconds} seconds`, () => expect(annotated(text).cacheTtl).to.deep.equal({ seconds }));
  }

  for (const text of ["", "-1h", "1", "31d", "1.5h", "24h ", "forever", "9".repeat(500)]) {
    it(`"${text.slice(0, 9)}" is named and has no effect`, () => {
      const { seconds, problem } = annotated(text).cacheTtl;
      expect(seconds).to.equal(undefined);
      expect(problem).to.match(/^metadata\.annotations\[entrepot\.dev\/cache-ttl\]: ".{0,64}" is no duration between/);
      expect(lifeOf(annotated(text), { cacheTtlSeconds: 77 })).to.equal(77);
    });
  }

  it("is metadata: the compiled policy keeps its hash", () => expect(annotated("1h").hash).to.equal(keyed.hash));

  it("is followed while the policy's last good form is all that compiles", () => {
    const broken = { ...annotated("1m"), problem: "broken", hash: "other" };
    expect(keepLastGood(keyed, broken)).to.deep.equal({ ...keyed, cacheTtl: { seconds: 60 } });
    expect(keepLastGood(annotated("1m"), broken).hash).to.equal(keyed.hash);
  });
});

describe("the life of a record", () => {
  const NOW = 1_000_000;
  const record: VerificationRecord = {
    policyName: "p",
    policyUid: keyed.uid,
    resourceVersion: "1",
    policyHash: keyed.hash,
    issued: NOW,
    expires: NOW + 3_600,
    authorities: { k: { signatures: [{ id: "1" }] } },
  };
  const usable = (afterSeconds: number, by = keyed, cacheTtlSeconds = 3_600) => {
    const now = new Date((NOW + afterSeconds) * 1000);
    const context: CacheContext = { cluster: "c", epoch: "0", namespace: "team", now, cacheTtlSeconds };
    return isUsable(record, by, context);
  };

  it("ends at the second of its expiry", () => {
    expect(usable(3_599)).to.equal(true);
    expect(usable(3_599.999)).to.equal(true);
    expect(usable(3_600)).to.equal(false);
  });

  it("begins a minute early, for whose clock is behind", () => {
    expect(usable(-60)).to.equal(true);
    expect(usable(-60.001)).to.equal(false);
  });

  it("ends early when the ttl is set shorter, in the ConfigMap or on the policy", () => {
    expect(usable(99, keyed, 100)).to.equal(true);
    expect(usable(100, keyed, 100)).to.equal(false);
    expect(usable(59, annotated("1m"))).to.equal(true);
    expect(usable(60, annotated("1m"))).to.equal(false);
  });

  it("is never longer than was sealed", () => {
    expect(usable(3_600, keyed, 86_400)).to.equal(false);
    expect(usable(3_600, annotated("30d"))).to.equal(false);
    expect(endOf(record, 86_400)).to.equal(record.expires);
  });

  it("goes by the policy before the ConfigMap, in both directions", () => {
    expect(usable(200, annotated("1h"), 100)).to.equal(true);
    expect(usable(200, annotated("100s"), 3_600)).to.equal(false);
  });

  it("is none under a policy that is never cached, though the record is from a clock ahead", () => {
    for (const after of [-60, -1, 0, 1]) expect(usable(after, annotated("0"))).to.equal(false);
  });
});
