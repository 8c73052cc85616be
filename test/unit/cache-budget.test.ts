import { expect } from "chai";
import fc from "fast-check";
import { fitRecords } from "../../core/cache/budget.ts";
import { newSealKey } from "../../core/cache/keyring.ts";
import { type SealedRecords, type VerificationRecord, writeRecords } from "../../core/cache/record.ts";
import { Sealer } from "../../core/cache/seal.ts";
import type { Digest } from "../../core/image/reference.ts";
import {
  annotation,
  type Json,
  KEY,
  Outside,
  owned,
  type Replica,
  replica,
  workload,
} from "../support/scripted-admission.ts";

const LIMIT = 32 * 1024;
const digestOf = (index: number): Digest => `sha256:${index.toString(16).padStart(64, "0")}`;

/** As many bytes of other annotations as leave about `bytes` for ours, far below what it may have at most. */
const leaving = (bytes: number) => 224 * 1024 - bytes;

function record(policyUid: string, ids: readonly string[]): VerificationRecord {
  const authorities = { key: { signatures: ids.map((id) => ({ id })) } };
  return { policyName: "p", policyUid, resourceVersion: "1", policyHash: "h", issued: 0, expires: 60, authorities };
}

function sealed(records: SealedRecords["records"], pins: SealedRecords["pins"] = new Map()): SealedRecords {
  return { cluster: "c", epoch: "0", records, pins };
}

/** So many images of one size; `read` is called whenever a record is. */
function many(
  count: number,
  read: () => void,
  id = (index: number) => digestOf(index).slice("sha256:".length),
): SealedRecords {
  const uid = "p1";
  const images = Array.from({ length: count }, (_, index) => {
    const { authorities, ...rest } = record(uid, [id(index)]);
    const counted = {
      ...rest,
      get authorities() {
        read();
        return authorities;
      },
    };
    return [`ghcr.io/team/app@${digestOf(index)}`, new Map([[uid, counted]])] as const;
  });
  return sealed(new Map(images));
}

/** The rule as it is told: all is written, the largest image is dropped with its digest's pins, all is written, and so on. */
function oneByOne(whole: SealedRecords, room: number): SealedRecords | undefined {
  const bytes = ([image, byPolicy]: readonly [string, ReadonlyMap<string, VerificationRecord>]) =>
    Buffer.byteLength(JSON.stringify([image, [...byPolicy]]));
  let left = whole;
  while (left.records.size > 0) {
    if (Buffer.byteLength(writeRecords(left)) <= room) return left;
    const [largest] = [...left.records].sort((a, b) => bytes(b) - bytes(a) || (a[0] < b[0] ? -1 : 1));
    const digest = largest?.[0].split("@")[1];
    left = sealed(
      new Map([...left.records].filter(([image]) => image !== largest?.[0])),
      new Map([...left.pins].filter(([, pinned]) => pinned !== digest)),
    );
  }
  return undefined;
}

const some: fc.Arbitrary<SealedRecords> = fc
  .uniqueArray(
    fc.record({
      repository: fc.stringMatching(/^([a-z]|[a-z]{1,60})$/),
      digest: fc.integer({ min: 0, max: 5 }),
      policies: fc.array(fc.array(fc.oneof(fc.constant("id"), fc.string({ unit: "grapheme" })), { maxLength: 4 }), {
        minLength: 1,
        maxLength: 3,
      }),
      tags: fc.uniqueArray(fc.constantFrom("v1", "v2", "latest"), { maxLength: 2 }),
    }),
    { maxLength: 14, selector: ({ repository, digest }) => `${repository}@${digest}` },
  )
  .map((images) =>
    sealed(
      new Map(
        images.map(({ repository, digest, policies }) => [
          `r/${repository}@${digestOf(digest)}`,
          new Map(policies.map((ids, index) => [`p${index}`, record(`p${index}`, ids)])),
        ]),
      ),
      new Map(
        images.flatMap(({ repository, digest, tags }) =>
          tags.map((tag) => [`r/${repository}:${tag}`, digestOf(digest)] as const),
        ),
      ),
    ),
  );

describe("records that are too many for one annotation", () => {
  it("are cut as if the largest were dropped one by one", () => {
    fc.assert(
      fc.property(some, fc.integer({ min: 0, max: 8 * 1024 }), (whole, room) => {
        const left = oneByOne(whole, room);
        const fitted = fitRecords(whole, leaving(room + 512));
        expect(fitted?.sealed).to.deep.equal(left);
        expect(fitted?.text).to.equal(left && writeRecords(left));
      }),
      { numRuns: 500 },
    );
  });

  it("cost about one look each: a Pod of very many images holds up no other", () => {
    const looks = (count: number) => {
      let read = 0;
      const fitted = fitRecords(
        many(count, () => (read += 1)),
        0,
      );
      expect(fitted?.sealed.records.size).to.be.greaterThan(50);
      expect(Buffer.byteLength(fitted?.text ?? "")).to.be.within(LIMIT - 2 * 512, LIMIT - 512);
      return read;
    };
    const written = looks(200) - 200; // what is written to find out how many fit
    expect(written).to.be.lessThan(10 * 100);
    expect(looks(2_000) - 2_000).to.be.at.most(written);
  });

  it("cost no more where they are shorter than their sizes promise", () => {
    let read = 0;
    const quotes = `x${'"x'.repeat(500)}`; // of JSON each takes an escape, of YAML none
    const whole = many(
      2_000,
      () => (read += 1),
      () => quotes,
    );
    expect(Buffer.byteLength(fitRecords(whole, 0)?.text ?? "")).to.be.within(LIMIT - 4 * 512, LIMIT - 512);
    expect(read).to.be.lessThan(2_000 + 10 * 100);
  });

  it("are written once where all of them fit", () => {
    let read = 0;
    const whole = many(20, () => (read += 1));
    expect(fitRecords(whole, 0)?.sealed).to.equal(whole);
    expect(read).to.equal(2 * 20);
  });

  it("are not written to find that their tags alone are too many", () => {
    let read = 0;
    const { records, ...rest } = many(20, () => (read += 1));
    const pins = new Map(Array.from({ length: 2_000 }, (_, index) => [`r/app:${index}`, digestOf(index % 20)]));
    expect(fitRecords({ ...rest, records, pins }, 0)?.sealed.pins.size).to.be.within(1, 400);
    expect(read).to.be.lessThan(2 * 20);
  });
});

describe("objects of more images than one annotation has room for", () => {
  class CountingSealer extends Sealer {
    sealed = 0;
    override seal(text: string): string {
      this.sealed += 1;
      return super.seal(text);
    }
  }

  const images = Array.from({ length: 150 }, (_, index) => `ghcr.io/team/app@${digestOf(index)}`);
  let sealer: CountingSealer;
  let at: Replica;

  beforeEach(async () => {
    const outside = new Outside();
    outside.outcome = () => ({ kind: "matched", match: { signatures: [{ id: "s1" }] } });
    sealer = new CountingSealer({ keys: [KEY] });
    at = await replica(outside, { sealer });
  });

  function pod(name: string, metadata: object = {}, of = images): Json {
    const containers = of.map((image, index) => ({ name: `c${index}`, image }));
    return { ...workload("Pod", name, "", metadata), spec: { containers } };
  }

  it("are cut and sealed once: further Pods of the kind and further mutations get the same", async () => {
    const { response, object } = await at.send("CREATE", pod("a"));
    expect(response.allowed).to.equal(true);
    expect(annotation(object)?.length).to.be.within(LIMIT - 1_024, LIMIT);
    const next = await at.send("CREATE", pod("b", owned("gone", "ReplicaSet")));
    const again = await at.send("CREATE", object);
    expect(annotation(next.object)).to.equal(annotation(object));
    expect(annotation(again.object)).to.equal(annotation(object));
    expect(sealer.sealed).to.equal(1);
  });

  it("are cut anew where others leave less room", async () => {
    const whole = annotation((await at.send("CREATE", pod("a"))).object) ?? "";
    const filled = { annotations: { filler: "x".repeat(leaving(16 * 1024)) } };
    const less = annotation((await at.send("CREATE", pod("b", filled))).object) ?? "";
    expect(less.length).to.be.within(15 * 1024, 16 * 1024);
    expect(annotation((await at.send("CREATE", pod("c"))).object)).to.equal(whole);
    expect(sealer.sealed).to.equal(2);
  });

  it("are sealed anew by the next keyring, though a request under way leaves behind what the last one sealed", async () => {
    const before = annotation((await at.send("CREATE", pod("a"))).object);
    const left = [...at.memory.sealed.entries()];
    await at.become({ keyring: { keys: [newSealKey(new Date())] } });
    for (const [key, value] of left) at.memory.sealed.set(key, value);
    const { object } = await at.send("CREATE", pod("b"));
    expect(at.snapshot.sealer.open(annotation(object) ?? "").kind).to.equal("opened");
    expect(annotation(object)).not.to.equal(before);
  });

  it("leave memory a short key, however many images they name", async () => {
    await at.send("CREATE", pod("a"));
    expect(Math.max(...[...at.memory.sealed.keys()].map((key) => key.length))).to.be.lessThan(LIMIT / 2);
  });
});
