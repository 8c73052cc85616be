import { expect } from "chai";
import fc from "fast-check";
import {
  activeKey,
  dropsLiveKey,
  KEYRING_LIMIT,
  type Keyring,
  NEXT_KEY_LEAD_SECONDS as LEAD,
  newSealKey,
  nextChange,
  parseKeyring,
  publicKeyring,
  type RotationRule,
  retiredAt,
  rotateKeyring,
} from "../../core/cache/keyring.ts";
import { DomainError } from "../../core/errors.ts";

const START = Date.parse("2026-01-01T00:00:00Z");
const at = (seconds: number) => new Date(START + seconds * 1000);
const RULE: RotationRule = { rotateAfterSeconds: 10_000, keepRetiredSeconds: 50_000 };
const NOW: RotationRule = { ...RULE, rotateAfterSeconds: 0 };
const rotate = (ring: Keyring | undefined, seconds: number, rule = RULE) =>
  rotateKeyring(ring, rule, at(seconds), newSealKey);
const kids = (ring: Keyring) => ring.keys.map(({ kid }) => kid);
const nextOf = (ring: Keyring) => ring.keys.find(({ next }) => next === true);

/** What a version that does not know `next` makes of a ring: which key signs, and that it takes the ring at all. */
function activeToOlderVersion(ring: Keyring): string | undefined {
  const active = ring.keys.filter(({ retired }) => retired === undefined);
  return active.length === 1 ? active[0]?.kid : undefined;
}

describe("the keyring", () => {
  it("is made with a key that signs and one that everybody knows before it does, and left alone until it is due", () => {
    const ring = rotate(undefined, 0);
    expect(ring.keys.map(({ next }) => next)).to.deep.equal([undefined, true]);
    expect(rotate(ring, 9_999)).to.equal(ring);
  });

  it("rotates to the key that was known, and puts another behind it", () => {
    const before = rotate(undefined, 0);
    const after = rotate(before, 10_000);
    expect(kids(after).toSorted()).to.include.members(kids(before));
    expect(after.keys).to.have.length(3);
    expect(activeKey(after).kid).to.equal(nextOf(before)?.kid);
    expect(activeKey(after))
      .to.include({ iat: START / 1000 + 10_000 })
      .and.to.not.have.any.keys("retired", "next");
    expect(kids(before)).to.not.include(nextOf(after)?.kid);
    expect(after.keys.map(retiredAt)).to.deep.equal([undefined, undefined, START / 1000 + 10_000]);
  });

  it("never rotates, however much it is wanted, to a key that is younger than the lead", () => {
    const ring = rotate(undefined, 0);
    expect(rotate(ring, LEAD - 1, NOW)).to.equal(ring);
    const first = rotate(ring, LEAD, NOW);
    expect(activeKey(first).kid).to.equal(nextOf(ring)?.kid);
    expect(rotate(first, 2 * LEAD - 1, NOW)).to.equal(first);
    expect(activeKey(rotate(first, 2 * LEAD, NOW)).kid).to.equal(nextOf(first)?.kid);
  });

  it("drops a retired key when its time is over, and the next one never", () => {
    const once = rotate(rotate(undefined, 0), 10_000);
    const [oldest] = kids(rotate(undefined, 0));
    expect(oldest).to.be.a("string");
    const later = { ...RULE, rotateAfterSeconds: 1e9 };
    expect(rotate(once, 59_999, later)).to.equal(once);
    const dropped = rotate(once, 60_000, later);
    expect(dropped.keys.map(({ next }) => next)).to.deep.equal([undefined, true]);
    expect(rotate(dropped, 1e8, later)).to.equal(dropped);
  });

  it("says when it next changes", () => {
    const ring = rotate(undefined, 0);
    expect(nextChange(ring, RULE)).to.equal(START / 1000 + 10_000);
    expect(nextChange(ring, NOW)).to.equal(START / 1000 + LEAD);
    const rotated = rotate(ring, 10_000);
    expect(nextChange(rotated, { ...RULE, rotateAfterSeconds: 1e9 })).to.equal(START / 1000 + 60_000);
  });

  it("of the format before gets a next key at once, keeps the one that signs, and rotates after the lead", () => {
    const [signs, old] = [newSealKey(at(-20_000)), newSealKey(at(-40_000))];
    const before: Keyring = { keys: [{ ...old, retired: START / 1000 - 20_000 }, signs] };
    expect(nextChange(before, RULE)).to.be.below(START / 1000);
    const upgraded = rotate(parseKeyring(JSON.stringify(before)), 0);
    expect(activeKey(upgraded)).to.deep.equal(signs);
    expect(upgraded.keys).to.have.length(3);
    expect(rotate(upgraded, LEAD - 1)).to.equal(upgraded);
    expect(activeKey(rotate(upgraded, LEAD)).kid).to.equal(nextOf(upgraded)?.kid);
  });

  it("is read by a version that does not know of next keys, at every moment of its life", () => {
    let ring = rotate(undefined, 0);
    for (let time = 0; time < 100_000; time += 500) {
      ring = rotate(ring, time);
      expect(activeToOlderVersion(ring)).to.equal(activeKey(ring).kid);
    }
    expect(ring.keys.length).to.be.above(3);
  });

  it("that an older version rotated meanwhile goes on from there", () => {
    const ring = rotate(undefined, 0);
    const byOlder = newSealKey(at(10_000));
    const retired = ring.keys.map((key) =>
      key.retired === undefined ? { ...key, retired: START / 1000 + 10_000 } : key,
    );
    const back = parseKeyring(JSON.stringify({ keys: [byOlder, ...retired] }));
    expect(rotate(back, 10_001)).to.equal(back);
    expect(activeKey(rotate(back, 20_000)).kid).to.equal(nextOf(ring)?.kid);
  });

  it("lets who is late open everything: a key that signs was in the ring for the whole lead", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(5_000), fc.boolean()), { minLength: 5, maxLength: 40 }), (steps) => {
        const history: { readonly time: number; readonly ring: Keyring }[] = [{ time: 0, ring: rotate(undefined, 0) }];
        let time = 0;
        for (const [wait, demanded] of steps) {
          time += wait;
          const ring = rotate(history.at(-1)?.ring, time, demanded ? NOW : RULE);
          history.push({ time, ring });
        }
        const signing = activeKey(history.at(-1)?.ring ?? { keys: [] }).kid;
        const since = history.find(({ ring }) => activeKey(ring).kid === signing)?.time ?? 0;
        const late = history.filter((each) => each.time <= since - LEAD + 0.5);
        if (since > 0) expect(late.length).to.be.above(0);
        if (late.length > 0) expect(kids(late.at(-1)?.ring ?? { keys: [] })).to.include(signing);
      }),
    );
  });

  it("never grows beyond what is read, however often a rotation is demanded", () => {
    const often = { rotateAfterSeconds: 0, keepRetiredSeconds: 31 * 86_400 };
    let ring = rotate(undefined, 0, often);
    for (let time = 0; time <= 200 * LEAD; time += LEAD) ring = rotate(ring, time, often);
    expect(ring.keys).to.have.length(KEYRING_LIMIT);
    expect(parseKeyring(JSON.stringify(ring)).keys).to.have.length(KEYRING_LIMIT);
    expect(parseKeyring(JSON.stringify(publicKeyring(ring), undefined, 2)).keys).to.have.length(KEYRING_LIMIT);
    const full = nextChange(ring, often);
    expect(full).to.equal(START / 1000 + LEAD + 31 * 86_400);
    expect(rotate(ring, 201 * LEAD, often)).to.equal(ring);
    const after = rotate(ring, full - START / 1000, often);
    expect(activeKey(after).kid).to.equal(nextOf(ring)?.kid);
  });

  it("has lost a live key when one that signs, that may by now, or that did lately is gone", () => {
    const ring = rotate(rotate(undefined, 0), 10_000);
    const without = (gone: number) => ({ keys: ring.keys.filter((_key, index) => index !== gone) });
    for (const gone of [0, 1, 2])
      expect(dropsLiveKey(ring, without(gone), 5_000, at(14_999)), `${gone}`).to.equal(true);
    expect(dropsLiveKey(ring, without(2), 5_000, at(15_000))).to.equal(false);
    expect(dropsLiveKey(ring, without(1), 5_000, at(1e6)), "the next one, seen long ago").to.equal(true);
    expect(dropsLiveKey(ring, rotate(ring, 20_000), 5_000, at(20_000))).to.equal(false);
  });

  it("is read back, and nothing else is", () => {
    const keyring = rotate(undefined, 0);
    expect(parseKeyring(JSON.stringify(keyring))).to.deep.equal(keyring);
    const [key, next] = keyring.keys;
    const bad = [
      "{",
      "null",
      "{}",
      JSON.stringify({ keys: [] }),
      JSON.stringify({ keys: [key, key] }),
      JSON.stringify({ keys: [next] }),
      JSON.stringify({ keys: [key, next, { ...next, kid: "another" }] }),
      JSON.stringify({ keys: [key, { ...next, next: false }] }),
      JSON.stringify({ keys: [key, { ...next, next: "true" }] }),
      JSON.stringify({ keys: [key, { ...next, retired: undefined }] }),
      JSON.stringify({ keys: [key, { ...next, retired: "1" }] }),
      JSON.stringify({ keys: [{ ...key, next: true }] }),
      JSON.stringify({ keys: [{ ...key, crv: "X25519" }] }),
      JSON.stringify({ keys: [{ ...key, kid: "../x" }] }),
      `{"keys":[]}${" ".repeat(70_000)}`,
    ];
    for (const text of bad)
      expect(() => parseKeyring(text), text.slice(0, 40))
        .to.throw(DomainError)
        .with.property("code", "KEYRING_INVALID");
  });

  it("never quotes a key in an error", () => {
    const { d = "" } = newSealKey(at(0));
    for (const text of [`{"keys":[{"d":"${d}"`, JSON.stringify({ keys: [{ d, next: true }] })])
      expect(() => parseKeyring(text))
        .to.throw()
        .with.property("message")
        .that.does.not.include(d);
  });
});
