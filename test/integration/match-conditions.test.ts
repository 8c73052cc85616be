// The match conditions on a real API server, beside the webhook code in this process: who has anything to say must be asked.
import { expect } from "chai";
import fc from "fast-check";
import { CACHE_ANNOTATION } from "../../core/cache/record.ts";
import { type MatchCondition, matchConditions } from "../../core/webhookconfig/match.ts";
import type { PolicyReads } from "../../core/webhookconfig/reads.ts";
import type { Call } from "./match-conditions-harness.ts";
import { EDITS, KINDS, STATES } from "./match-conditions-objects.ts";
import { Stage } from "./match-conditions-stage.ts";
import { seals, speaks, type World, worlds } from "./match-conditions-worlds.ts";

const RUNS = 150;
/** A control shall not fail by chance. */
const SEED_OF_CONTROLS = 42;
const NOTHING: PolicyReads = { spec: false, metadata: "nothing" };
const SPEC: PolicyReads = { spec: true, metadata: "nothing" };
const LABELS: PolicyReads = { spec: true, metadata: "labels" };
const LABELS_ALONE: PolicyReads = { spec: false, metadata: "labels" };
const METADATA: PolicyReads = { spec: false, metadata: "all" };
const BOTH: PolicyReads = { spec: true, metadata: "all" };

/** A webhook of the recorder: its conditions let through what policies with these reads judge. */
interface Tested {
  readonly name: string;
  readonly reads: PolicyReads;
  readonly conditions: readonly MatchCondition[];
}

const GENERATED: readonly Tested[] = Object.entries({
  nothing: NOTHING,
  spec: SPEC,
  labels: LABELS,
  "labels-alone": LABELS_ALONE,
  metadata: METADATA,
  both: BOTH,
}).map(([name, reads]) => ({ name, reads, conditions: matchConditions(reads) }));

function without(text: string, part: string): string {
  const lines = text.split("\n");
  return lines.filter((line) => !line.includes(part)).join("\n");
}

function weakened(name: string, reads: PolicyReads, weaken: (text: string) => string): Tested {
  const whole = matchConditions(reads);
  const conditions = whole.map((one) => ({ ...one, expression: weaken(one.expression) }));
  expect(conditions, `${name} weakens nothing`).not.to.deep.equal(whole);
  return { name, reads, conditions };
}

/** Conditions that leave something out: the property must find out each of them. */
const WEAKENED: readonly Tested[] = [
  weakened("annotation-forgotten", NOTHING, (text) => without(text, CACHE_ANNOTATION)),
  weakened("containers-alone", NOTHING, (text) =>
    text.replaceAll(/(\.\?spec\.\?template)(?= )/g, "$1.?spec.?containers"),
  ),
  weakened("deletion-as-sent", NOTHING, (text) => text.replace("!oldObject.?metadata", "!object.?metadata")),
  weakened("spec-forgotten", SPEC, (text) => without(text, "|| object.?spec != oldObject.?spec")),
  weakened("labels-forgotten", LABELS, (text) => without(text, ".?labels")),
  weakened("added-metadata-alone", METADATA, (text) => without(text, "oldObject.metadata.exists")),
];

describe("the match conditions", function () {
  this.timeout(240_000);
  let stage: Stage;
  let all: readonly World[];
  const counts = { reviews: 0, spoken: 0, skipped: 0 };

  before(async function () {
    this.timeout(0);
    all = await worlds();
    stage = await Stage.open(await seals());
    const tested = [...GENERATED, ...WEAKENED].map(({ name, conditions }) => [name, conditions] as const);
    await stage.install({ always: [], ...Object.fromEntries(tested) });
  });

  after(() => stage?.close());

  /** What the code, in every world with these reads, would have said of an UPDATE that `name` was not asked about. */
  async function unheard({ name, reads }: Tested, calls: readonly Call[]): Promise<readonly string[]> {
    const found: string[] = [];
    const inside = all.filter((world) => world.reads.spec === reads.spec && world.reads.metadata === reads.metadata);
    for (const { phase, request } of calls.filter(({ webhook }) => webhook === "always")) {
      const isAsked = calls.some((call) => call.webhook === name && call.phase === phase);
      counts.reviews += 1;
      if (!isAsked) counts.skipped += 1;
      for (const world of inside) {
        if (!(await speaks(world, phase, request))) continue;
        counts.spoken += 1;
        if (!isAsked) found.push(`${name}, ${phase}: ${world.name}`);
      }
    }
    return found;
  }

  const updates = fc.record({
    kind: fc.constantFrom(...KINDS),
    state: fc.constantFrom(...STATES),
    edits: fc.array(fc.record({ what: fc.constantFrom(...Object.keys(EDITS)), value: fc.constantFrom("a", "b") }), {
      maxLength: 3,
    }),
    resize: fc.boolean(),
  });
  type Update = typeof updates extends fc.Arbitrary<infer T> ? T : never;
  const resize: Update = { kind: "Pod", state: "sealed", edits: [{ what: "resources", value: "b" }], resize: true };
  const relabel: Update = { kind: "Pod", state: "plain", edits: [{ what: "label", value: "b" }], resize: false };
  const property = (tested: readonly Tested[]) =>
    fc.asyncProperty(updates, async ({ kind, state, edits, resize }) => {
      const subresource = resize && kind === "Pod" ? "/resize" : "";
      const { calls } = await stage.put(kind, state, edits, undefined, subresource);
      const found = await Promise.all(tested.map((one) => unheard(one, calls)));
      expect(found.flat()).to.deep.equal([]);
    });

  it("leave out no UPDATE of which the webhooks have anything to say, by kind, policies and flags", async () => {
    await fc.assert(property(GENERATED), { numRuns: RUNS, examples: [[resize], [relabel]] });
    expect(counts.spoken, "UPDATEs with something to say").to.be.greaterThan(RUNS);
    expect(counts.skipped, "UPDATEs that were left out").to.be.greaterThan(RUNS);
  });

  for (const one of WEAKENED) {
    it(`leave out too much when weakened, which is found out: ${one.name}`, async () => {
      const { failed } = await fc.check(property([one]), {
        seed: SEED_OF_CONTROLS,
        numRuns: 1_500,
        endOnFailure: true,
      });
      expect(failed).to.equal(true);
    });
  }
});
