import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { expect } from "chai";
import { createPolicyEngine, type PolicyEngineOptions } from "../../adapters/policy/engine.ts";
import type { EvaluationInput, EvaluationResult, Evaluator } from "../../core/policy/types.ts";
import { enginePath } from "../support/policy-engine.ts";

const EMPTY: EvaluationInput = { kind: "document", json: "{}" };
const FINE: Evaluator = { language: "rego", source: "package sigstore\nisCompliant = true" };
const MEBIBYTE = 1 << 20;
const SMALL = 128 * MEBIBYTE;

const ENDLESS: Readonly<Record<string, Evaluator>> = {
  "a CUE comprehension": {
    language: "cue",
    source: 'import "list"\nx: [for a in list.Range(0, 100000, 1) for b in list.Range(0, 100000, 1) {a + b}]',
  },
  "a Rego comprehension": {
    language: "rego",
    source: "package sigstore\nisCompliant { x := numbers.range(1, 3000); count([1 | x[_] + x[_] + x[_] == 1]) == 0 }",
  },
};
const LARGE: Readonly<Record<string, Evaluator>> = {
  "a CUE string": { language: "cue", source: 'import "strings"\nx: strings.Repeat("xxxxxxxxxxxxxxxx", 100000000)' },
  "a Rego range": {
    language: "rego",
    source: "package sigstore\nisCompliant { count(numbers.range(1, 300000000)) == 0 }",
  },
  "a Rego string": {
    language: "rego",
    source: 'package sigstore\nisCompliant { x := sprintf("%0999999999d", [1]); count(x) == 0 }',
  },
};

const signal = (ms = 100_000) => AbortSignal.timeout(ms);

describe("policy engine: bounds", function () {
  this.timeout(180_000);
  const compiled: ReturnType<typeof createPolicyEngine>[] = [];
  let path: string;

  before(async function () {
    this.timeout(0);
    path = await enginePath();
    // While there is an engine with the same bound on its memory, V8 has the program compiled: each test's own starts in half the time.
    for (const bound of [{}, { memoryBytes: SMALL }]) compiled.push(createPolicyEngine({ path, workers: 1, ...bound }));
    await Promise.all(compiled.map((engine) => engine.warm()));
  });

  after(() => Promise.all(compiled.map((engine) => engine.close())));

  async function using(
    options: Omit<PolicyEngineOptions, "path">,
    work: (engine: ReturnType<typeof createPolicyEngine>) => Promise<void>,
  ): Promise<void> {
    const engine = createPolicyEngine({ path, ...options });
    try {
      await work(engine);
    } finally {
      await engine.close();
    }
  }

  for (const [name, evaluator] of Object.entries(ENDLESS))
    it(`ends ${name} without end, and what waits behind it is served`, () =>
      using({ workers: 1, evaluationMs: 4_000 }, async (engine) => {
        await engine.evaluate(FINE, EMPTY, signal());
        const runaway = engine.evaluate(evaluator, EMPTY, signal());
        const waiting = Array.from({ length: 5 }, (_, n) =>
          engine.evaluate(FINE, { kind: "document", json: `{"n":${n}}` }, signal()),
        );
        expect(await runaway).to.deep.equal({
          kind: "undecided",
          message: "the evaluation was ended: it took more than 4000 ms; simplify the policy",
        });
        for (const verdict of await Promise.all(waiting)) expect(verdict).to.deep.equal({ kind: "compliant" });
      }));

  for (const [name, evaluator] of Object.entries(LARGE))
    it(`gives ${name} no more memory than it may have`, () =>
      using({ workers: 1, evaluationMs: 60_000, memoryBytes: SMALL }, async (engine) => {
        await engine.warm();
        const most = peakBytes();
        const verdict = await engine.evaluate(evaluator, EMPTY, signal());
        expect(verdict.kind, JSON.stringify(verdict)).to.be.oneOf(["undecided", "rejected"]);
        expect(peakBytes() - most, "bytes that the process grew").to.be.below(200 * MEBIBYTE);
        expect(await engine.evaluate(FINE, EMPTY, signal())).to.deep.equal({ kind: "compliant" });
      }));

  it("serves other policies in turn while one has many evaluations waiting", () =>
    using({ workers: 1, evaluationMs: 30_000 }, async (engine) => {
      await engine.warm();
      const order: string[] = [];
      const many = Array.from({ length: 50 }, async (_, n) => {
        await engine.evaluate(FINE, { kind: "document", json: `{"n":${n}}` }, signal());
        order.push("many");
      });
      await engine.evaluate(
        { language: "cel", source: "self.n == 1" },
        { kind: "document", json: '{"n":1}' },
        signal(),
      );
      order.push("one");
      await Promise.all(many);
      expect(order.indexOf("one")).to.be.at.most(3);
    }));

  it("refuses what is too large before it reaches the engine", () =>
    using({ sourceBytes: 100, inputBytes: 100 }, async (engine) => {
      const source = { ...FINE, source: FINE.source.padEnd(101) };
      const limited = "100 is the most that is evaluated";
      expect(await engine.evaluate(source, EMPTY, signal())).to.deep.equal({
        kind: "undecided",
        message: `the policy has 101 bytes, and ${limited}`,
      });
      const verdict = await engine.evaluate(FINE, { kind: "document", json: `"${"é".repeat(50)}"` }, signal());
      expect(verdict).to.deep.equal({
        kind: "undecided",
        message: `the input of the policy has 102 bytes, and ${limited}`,
      });
      await engine.check(source, signal()).then(
        () => expect.fail("checked what is too large"),
        (error: unknown) => expect(error).to.have.property("code", "ENGINE_LIMIT"),
      );
    }));

  it("answers at once when the caller gives up, waiting or running", () =>
    using({ workers: 1, evaluationMs: 5_000 }, async (engine) => {
      await engine.warm();
      const giveUp = new AbortController();
      const runaway = Object.values(ENDLESS)[1] ?? FINE;
      const running = engine.evaluate(runaway, EMPTY, giveUp.signal);
      const waiting = engine.evaluate(FINE, EMPTY, giveUp.signal);
      const patient = engine.evaluate(FINE, { kind: "document", json: "[]" }, signal());
      await pause(50);
      const began = performance.now();
      giveUp.abort(new Error("the request is over"));
      const verdict: EvaluationResult = {
        kind: "undecided",
        message: "the evaluation of a policy was given up: the request is over",
      };
      expect(await Promise.all([running, waiting])).to.deep.equal([verdict, verdict]);
      expect(performance.now() - began, "not when the runaway was ended").to.be.below(4_500);
      expect(await patient).to.deep.equal({ kind: "compliant" });
    }));

  it("refuses more than may wait", () =>
    using({ workers: 1, evaluationMs: 30_000, queue: 2 }, async (engine) => {
      const verdicts = await Promise.all(
        [1, 2, 3, 4].map((n) => engine.evaluate(FINE, { kind: "document", json: `${n}` }, signal())),
      );
      expect(verdicts.map(({ kind }) => kind)).to.deep.equal(["compliant", "compliant", "undecided", "undecided"]);
    }));

  it("closes while it is busy: nothing is left open, nothing passes", async () => {
    const engine = createPolicyEngine({ path, workers: 1, evaluationMs: 60_000 });
    await engine.warm();
    const busy = Object.values(ENDLESS).map((evaluator) => engine.evaluate(evaluator, EMPTY, signal()));
    await pause(50);
    await engine.close();
    const closed = { kind: "undecided", message: "the policy engine is closed" };
    expect(await Promise.all(busy)).to.deep.equal([closed, closed]);
    expect(await engine.evaluate(FINE, EMPTY, signal())).to.deep.equal(closed);
    await engine.close();
  });

  it("says why it cannot be loaded, and tries again", async () => {
    const dir = mkdtempSync(join(tmpdir(), "entrepot-engine-"));
    const file = join(dir, "policy-engine.wasm");
    const engine = createPolicyEngine({ path: file });
    try {
      const missing = await engine.evaluate(FINE, EMPTY, signal());
      expect(missing.kind).to.equal("undecided");
      expect(missing).to.have.property("message").that.includes(file).and.includes("ENOENT");
      writeFileSync(file, "not a program");
      expect(await engine.evaluate(FINE, EMPTY, signal())).to.have.property("kind", "undecided");
      writeFileSync(file, readFileSync(path));
      expect(await engine.evaluate(FINE, EMPTY, signal())).to.deep.equal({ kind: "compliant" });
    } finally {
      await engine.close();
      rmSync(dir, { recursive: true });
    }
  });
});

/** The most memory that this process has had in RAM so far (Linux). */
function peakBytes(): number {
  return process.resourceUsage().maxRSS * 1024;
}
