// The same policies, images and objects for sigstore policy-controller and for us: alike, or different for a reason that is written down.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { comparable, mismatch } from "../support/differential/answers.ts";
import { DIFFERENCES, type DifferenceName } from "../support/differential/differences.ts";
import { pod, type Row, type Scenario } from "../support/differential/model.ts";
import { POLICY_DIFFERENCES } from "../support/differential/policy-differences.ts";
import { SCENARIOS } from "../support/differential/rows.ts";
import { type Pair, Stage } from "../support/differential/stage.ts";

/** Scenarios by what config-policy-controller says: that is one setting for the whole cluster at a time. */
function phases(): ReadonlyMap<string, readonly Scenario[]> {
  return Map.groupBy(
    SCENARIOS,
    ({ name, alone, config = {} }) => `${JSON.stringify(config)}${alone ? `, ${name}` : ""}`,
  );
}

/** Of its conversion webhook, which we have no need of; empty for admission, which to Prometheus is absent. */
const OF_CONVERSION = new Set(["desired_api_version", "result_code", "result_reason", "result_status"]);

/** The labels of policy-controller's admission metrics on a page, by metric. */
function requestMetrics(page: string): Readonly<Record<string, readonly string[]>> {
  const found = new Map<string, Set<string>>();
  for (const [, name = "", labels = ""] of page.matchAll(/^(policy_controller_request_[a-z_]+)\{(.*)\}/gm)) {
    const names = found.get(name) ?? new Set();
    for (const [, label = ""] of labels.matchAll(/([a-z_]+)="/g)) names.add(label);
    found.set(name, names);
  }
  return Object.fromEntries(
    [...found].sort().map(([name, labels]) => [name, [...labels].filter((label) => !OF_CONVERSION.has(label)).sort()]),
  );
}

describe("compared with policy-controller", () => {
  let stage: Stage;

  before(async function () {
    this.timeout(0);
    stage = await Stage.open(this);
  });

  after(async function () {
    this.timeout(120_000);
    await stage?.close();
  });

  it("has its metrics too, with their labels: alerts go on working", async () => {
    const namespace = await stage.begin("metrics", {
      metrics: { images: [{ glob: "metrics/**" }], authorities: [{ static: { action: "pass" } }] },
    });
    for (const side of stage.sides) await side.ask(namespace, pod(`metrics/x@sha256:${"0".repeat(64)}`), "p");
    const [theirs, ours] = (await stage.metrics()).map(requestMetrics);
    expect(Object.keys(theirs ?? {})).to.have.length(4);
    expect(ours).to.deep.equal(theirs);
  });

  for (const [config, scenarios] of phases()) {
    describe(`with config-policy-controller ${config}`, () => {
      let answers: ReadonlyMap<Row, Pair>;

      before(async function () {
        this.timeout(180_000);
        answers = await stage.play(scenarios);
      });

      for (const { name, rows } of scenarios)
        for (const row of rows) compare(name, row, () => answers.get(row) as Pair);
    });
  }
});

describe("docs/compatibility.md", () => {
  const text = readFileSync(join(import.meta.dirname, "../../docs/compatibility.md"), "utf8");
  const explained = [...text.matchAll(/^\| `([a-z0-9-]+)` \|/gm)].map(([, name]) => name);
  const shown = [
    ...SCENARIOS.flatMap(({ rows }) => rows.flatMap(({ differs }) => differs?.because ?? [])),
    ...Object.values(POLICY_DIFFERENCES),
  ];

  it("explains every difference, and no other", () => {
    expect(explained).to.have.members(Object.keys(DIFFERENCES));
  });

  it("explains what can be seen: there is a comparison that shows each", () => {
    expect(Object.keys(DIFFERENCES).filter((name) => !shown.includes(name as DifferenceName))).to.deep.equal([]);
  });
});

function compare(scenario: string, row: Row, answers: () => Pair): void {
  const { theirs: expected, differs } = row;
  const because = differs === undefined ? "" : ` (${differs.because}; ${DIFFERENCES[differs.because]})`;
  it(`${scenario}: ${row.name}${because}`, () => {
    const { theirs, ours } = answers();
    expectOutcome("policy-controller", mismatch(theirs, expected));
    if (differs === undefined) expect(comparable(ours)).to.equal(comparable(theirs));
    else {
      expectOutcome("entrepot", mismatch(ours, differs.ours));
      expect(comparable(ours), "listed as a difference, and there is none").to.not.equal(comparable(theirs));
    }
  });
}

function expectOutcome(side: string, wrong: string | undefined): void {
  if (wrong !== undefined) expect.fail(`${side}: ${wrong}`);
}
