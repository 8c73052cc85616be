import { expect } from "chai";
import fc from "fast-check";
import { type ClosablePolicyEngine, createPolicyEngine } from "../../adapters/policy/engine.ts";
import type { EvaluationInput, Evaluator } from "../../core/policy/types.ts";
import { enginePath } from "../support/policy-engine.ts";

const RUNS = 1_000;
const AT_ONCE = 50;

/** Text that resembles a policy, without brackets: it cannot end the clause that refuses. */
const WORDS = fc
  .array(
    fc.oneof(
      fc.constantFrom("a", "b", ":", "&", "|", "==", "!=", "_", "...", "input", "self", "not", "true", "false", "null"),
      fc.constantFrom("1", "-1", "0x", "1e999", '"x"', '"', "'", "`", "#", "\n", ";", ",", ".", "some", "with", "as"),
      fc.string({ maxLength: 8, unit: "grapheme" }).map((text) => text.replaceAll(/[()[\]{}]/g, "")),
    ),
    { maxLength: 12 },
  )
  .map((words) => words.join(" "));

interface Sample {
  readonly evaluator: Evaluator;
  readonly json: string;
}

const DOCUMENT = fc.dictionary(fc.constantFrom("a", "b", "c"), fc.jsonValue(), { maxKeys: 3 });
/** Each clause refuses every document, whatever the words around it say. */
const NEVER: fc.Arbitrary<Sample> = fc.record({
  evaluator: WORDS.chain((words) =>
    fc.constantFrom<Evaluator>(
      { language: "cue", source: `never: "other"\n${words}` },
      { language: "rego", source: `package sigstore\nisCompliant { false; ${words} }` },
      { language: "cel", source: `false && (${words})` },
    ),
  ),
  json: DOCUMENT.map((document) => JSON.stringify({ ...document, never: "this" })),
});
const GARBAGE: fc.Arbitrary<Sample> = fc.record({
  evaluator: fc.record({
    language: fc.constantFrom("cue", "rego", "cel"),
    source: fc.oneof(fc.string({ unit: "binary", maxLength: 100 }), WORDS),
  }),
  json: fc.oneof(fc.string({ maxLength: 20 }), fc.json(), fc.constant("[".repeat(5_000))),
});

describe("policy engine: random policies and inputs", function () {
  this.timeout(600_000);
  let engine: ClosablePolicyEngine;
  const signal = new AbortController().signal; // never aborts

  before(async function () {
    this.timeout(0);
    engine = createPolicyEngine({ path: await enginePath(), evaluationMs: 20_000 });
    await engine.warm();
  });

  after(() => engine.close());

  async function verdicts(samples: readonly Sample[], kind: EvaluationInput["kind"]): Promise<readonly string[]> {
    const kinds: string[] = [];
    for (let from = 0; from < samples.length; from += AT_ONCE) {
      const batch = samples.slice(from, from + AT_ONCE).map(async ({ evaluator, json }) => {
        const input: EvaluationInput =
          kind === "document" ? { kind, json } : { kind, json, predicateType: "https://example.com/p" };
        return (await engine.evaluate(evaluator, input, signal)).kind;
      });
      kinds.push(...(await Promise.all(batch)));
    }
    return kinds;
  }

  it("never accept what they refuse", async () => {
    const samples = fc.sample(NEVER, RUNS);
    const wrong = (await verdicts(samples, "document")).map((kind, at) =>
      kind === "rejected" ? [] : [kind, samples[at]],
    );
    expect(wrong.flat()).to.deep.equal([]);
  });

  it("do not crash the engine", async () => {
    const samples = fc.sample(GARBAGE, RUNS);
    const lost = (await verdicts(samples, "document")).map((kind, at) => (kind === "undecided" ? [samples[at]] : []));
    expect(lost.flat()).to.deep.equal([]);
  });

  it("never accept a statement that is none", async () => {
    const evaluators: readonly Evaluator[] = [
      { language: "cue", source: "" },
      { language: "rego", source: "package sigstore\nisCompliant = true" },
      { language: "cel", source: "true" },
    ];
    const samples = fc
      .sample(GARBAGE, RUNS)
      .map(({ json }, at) => ({ evaluator: evaluators[at % 3] ?? evaluators[0], json }));
    expect(await verdicts(samples as Sample[], "statement")).not.to.include("compliant");
  });

  it("see the document as it is", async () => {
    const samples = fc.sample(fc.tuple(fc.jsonValue(), fc.jsonValue(), fc.boolean()), RUNS / 2).map(([a, b, same]) => ({
      wanted: same ? a : b,
      given: a,
    }));
    const kinds = await verdicts(
      samples.map(({ wanted, given }) => ({
        evaluator: {
          language: "rego",
          source: `package sigstore\nisCompliant { input.v == ${JSON.stringify(wanted)} }`,
        },
        json: JSON.stringify({ v: given }),
      })),
      "document",
    );
    const wrong = samples.filter(
      ({ wanted, given }, at) => kinds[at] === "compliant" && canonical(wanted) !== canonical(given),
    );
    expect(wrong).to.deep.equal([]);
    expect(kinds.filter((kind) => kind === "compliant").length, "documents that are equal").to.be.above(RUNS / 8);
  });
});

/** JSON with sorted keys. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const fields = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${fields.map(([key, inner]) => `${JSON.stringify(key)}:${canonical(inner)}`).join()}}`;
}
