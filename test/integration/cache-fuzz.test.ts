// Whatever is done to annotations without a key of the ring: none counts that we did not seal for exactly what is asked.
import { expect } from "chai";
import fc from "fast-check";
import { findRecord } from "../../core/cache/freshness.ts";
import { newSealKey } from "../../core/cache/keyring.ts";
import { CACHE_ANNOTATION, readRecords, type VerificationRecord } from "../../core/cache/record.ts";
import { type Opened, Sealer } from "../../core/cache/seal.ts";
import { parseReference } from "../../core/image/reference.ts";
import { type Dice, MUTATIONS } from "../support/annotation-mutations.ts";
import { FakeClock } from "../support/fake-clock.ts";
import {
  annotation,
  nothing,
  Outside,
  type Replica,
  replica,
  SIGNED,
  UNSIGNED,
  workload,
} from "../support/scripted-admission.ts";
import {
  answerOf,
  IMAGE,
  OTHER_IMAGE,
  type Question,
  REPOSITORY,
  type Sample,
  sealSamples,
} from "../support/sealed-samples.ts";

const SEED = 20_300_101;
const AT_ONCE = 50;
const CASES = 100_000;
const THROUGH_WEBHOOK = 3_000;
const CLOCK = new FakeClock();
const NOW = CLOCK.now().getTime() / 1000;

/** One thing that an attacker does, by numbers: which mutation, of which annotation, and how. */
interface Attack {
  readonly mutation: keyof typeof MUTATIONS;
  readonly sample: number;
  readonly other: number;
  readonly rolls: readonly number[];
}

const ATTACK: fc.Arbitrary<Attack> = fc.record({
  mutation: fc.constantFrom(...(Object.keys(MUTATIONS) as (keyof typeof MUTATIONS)[])),
  sample: fc.nat(),
  other: fc.nat(),
  rolls: fc.array(fc.nat(), { minLength: 12, maxLength: 12 }),
});

/** What is asked, mostly what the annotation was made for. */
type Asked = Omit<Question, "policy" | "scoped"> & { readonly straight: boolean; readonly policy: number };
const ASKED: fc.Arbitrary<Asked> = fc.record({
  straight: fc.constantFrom(true, true, true, false),
  image: fc.constantFrom(IMAGE, IMAGE, IMAGE, OTHER_IMAGE, `${REPOSITORY}@${UNSIGNED}`),
  policy: fc.nat(),
  namespace: fc.constantFrom("team", "team", "other"),
  cluster: fc.constantFrom("c1", "c1", "c1", "c1", "c2"),
  epoch: fc.constantFrom("0", "0", "0", "0", "1"),
  at: fc.constantFrom(0, 0, 0, 0, -160, -161, 3_499, 3_500, -4_000, 60, 1, 86_400).map((offset) => NOW + offset),
  ttl: fc.constantFrom(86_400, 86_400, 3_600, 100, 101),
});

function dice(rolls: readonly number[]): Dice {
  let next = 0;
  return { roll: (sides) => (rolls[next++ % rolls.length] ?? 0) % sides };
}

describe(`cache annotations under attack (seed ${SEED})`, function () {
  this.timeout(300_000);
  const outside = new Outside();
  const ring = { keys: [newSealKey(CLOCK.now()), { ...newSealKey(CLOCK.now()), retired: NOW - 10 }] };
  let one: Replica;
  let samples: readonly Sample[];
  let policies: readonly { policy: Question["policy"]; scoped: boolean }[];

  before(async () => {
    const source = [{ oci: "ghcr.io/team/signatures", signaturePullSecrets: [{ name: "s" }] }];
    const [key] = (await replica(outside)).snapshot.policies.flatMap(({ authorities }) =>
      authorities.flatMap((authority) => (authority.kind === "key" ? authority.keys : [])),
    );
    const others = [{ mode: "warn" }, { authorities: [{ key: { data: key }, source }] }];
    const many = await replica(outside, { others, keyring: ring }, CLOCK);
    one = await replica(outside, { keyring: ring }, CLOCK);
    policies = many.snapshot.policies.map((policy, index) => ({ policy, scoped: index === 2 }));
    const world = { policies: many.snapshot.policies, ring, dropped: newSealKey(CLOCK.now()), now: NOW };
    samples = await sealSamples(world);
  });

  function at<T>(list: readonly T[], index: number): T {
    const found = list[index % list.length];
    if (found === undefined) throw new Error("an empty list");
    return found;
  }

  function attacked({ mutation, sample, other, rolls }: Attack): string {
    const [text, foreign] = [at(samples, sample).text, at(samples, other).text];
    return MUTATIONS[mutation]({ text, other: foreign, dice: dice(rolls), keys: ring.keys });
  }

  function question({ sample }: Attack, { straight, ...drawn }: Asked): Question {
    const any = { ...drawn, ...at(policies, drawn.policy) };
    const [made] = straight ? at(samples, sample).sealed.records : [];
    if (made === undefined) return any;
    const [image, byPolicy] = made;
    return { ...any, ...policies.find(({ policy }) => byPolicy.has(policy.uid)), image };
  }

  async function believed(
    by: Pick<Sealer, "open">,
    text: string,
    asked: Question,
  ): Promise<VerificationRecord | undefined> {
    const opened = by.open(text);
    if (opened.kind === "refused") return undefined;
    const { cluster, epoch, namespace, ttl: cacheTtlSeconds } = asked;
    const context = { cluster, epoch, namespace, cacheTtlSeconds, now: new Date(asked.at * 1000) };
    const reference = parseReference(asked.image);
    const image = { reference, digest: reference.digest ?? SIGNED };
    return findRecord(opened.sealed, image, asked.policy, context);
  }

  /** Runs attacks against `by`; says how many there were, how many annotations counted, and what went wrong. */
  async function siege(by: Pick<Sealer, "open">, cases: number) {
    const tally = { cases: 0, counted: 0 };
    const judged = async ([attack, drawn]: readonly [Attack, Asked]) => {
      const text = attacked(attack);
      const asked = question(attack, drawn);
      const expected = answerOf(text, samples, asked);
      expect(await believed(by, text, asked), `${attack.mutation}: ${text.slice(0, 200)}`).to.deep.equal(expected);
      tally.cases += 1;
      if (expected !== undefined) tally.counted += 1;
    };
    const batch = fc.array(fc.tuple(ATTACK, ASKED), { minLength: AT_ONCE, maxLength: AT_ONCE });
    const property = fc.asyncProperty(batch, async (cases) => void (await Promise.all(cases.map(judged))));
    const details = await fc.check(property, { seed: SEED, numRuns: Math.ceil(cases / AT_ONCE), endOnFailure: true });
    return { ...tally, failed: details.failed, failure: details.errorInstance };
  }

  it(`none of ${CASES} counts but what was sealed for exactly what is asked, and all of that does`, async () => {
    const { cases, counted, failed, failure } = await siege(new Sealer(ring), CASES);
    if (failed) throw failure;
    expect(cases).to.be.at.least(CASES);
    expect(counted).to.be.greaterThan(CASES / 100);
  });

  it("with the signature left unchecked there is a wrong one (control)", async () => {
    const open = (text: string): Opened => {
      const sealed = readRecords(text.slice(0, text.lastIndexOf("\nsignature: ") + 1));
      return sealed === undefined ? { kind: "refused", reason: "format" } : { kind: "opened", sealed };
    };
    expect((await siege({ open }, 5_000)).failed).to.equal(true);
  });

  it("with a dropped key left in the ring there is a wrong one (control)", async () => {
    const gone = samples.at(-1);
    const sealer = new Sealer(ring);
    const open = (text: string): Opened =>
      text === gone?.text ? { kind: "opened", sealed: gone.sealed } : sealer.open(text);
    expect((await siege({ open }, 20_000)).failed).to.equal(true);
  });

  it(`through the webhook, each of ${THROUGH_WEBHOOK} that does not count is verified afresh, and admits nothing unsigned`, async () => {
    let fresh = 0;
    const property = fc.asyncProperty(ATTACK, fc.boolean(), async (attack, signed) => {
      const text = attacked(attack);
      const { memory, snapshot } = one;
      for (const level of [memory.records, memory.denials, memory.owners, memory.pins]) level.clear();
      memory.forgetSeals(true);
      outside.asked = { ...nothing };
      const image = `${REPOSITORY}@${signed ? SIGNED : UNSIGNED}`;
      const pod = workload("Pod", "p", image, { annotations: { [CACHE_ANNOTATION]: text } });
      const { response, object } = await one.send("CREATE", pod);
      const asked = { image, ...at(policies, 0), namespace: "team", cluster: "c1", epoch: "0", at: NOW, ttl: 86_400 };
      const counts = answerOf(text, samples, asked) !== undefined;
      expect(response.allowed).to.equal(signed);
      expect(outside.asked.verify).to.equal(counts ? 0 : 1);
      if (counts) expect(annotation(object)).to.equal(text);
      else fresh += 1;
      if (signed) expect(snapshot.sealer.open(annotation(object) ?? "").kind).to.equal("opened");
    });
    await fc.assert(property, { seed: SEED, numRuns: THROUGH_WEBHOOK });
    expect(fresh).to.be.greaterThan(THROUGH_WEBHOOK / 2);
  });
});
