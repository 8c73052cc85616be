import { expect } from "chai";
import { plot } from "../../bench/plot.ts";
import { promisesText, verdicts } from "../../bench/promises.ts";
import type { Cell } from "../../bench/results.ts";
import { table } from "../../bench/table.ts";
import { cell } from "../support/bench-cells.ts";

const ratios = (p50: number, p99 = 1, throughput = 1) => ({ noop: { p50, p90: 1, p99, throughput } });
const standing = (cells: readonly Cell[], words: string) =>
  verdicts(cells).find(({ promise }) => promise.startsWith(words));

describe("the bench's promises", () => {
  it("are decided by the worst cell that they speak of, and name it", () => {
    const cells = [
      cell({ ratios: ratios(1.1) }),
      cell({ scenario: "bare-digest", ratios: ratios(1.3) }),
      cell({ scenario: "restart", ratios: ratios(9) }), // it has a promise of its own
      cell({ scenario: "warm-digest", concurrency: 16, ratios: ratios(9) }), // it speaks of concurrency 1
      cell({ contestant: "kyverno-cache", ratios: ratios(9) }),
    ];
    const verdict = standing(cells, "median of a hit in memory, of the no-op");
    expect(verdict).to.include({ held: false, figure: "1.30x (bare-digest, concurrency 1, delay 0 ms)" });
    expect(standing(cells.slice(0, 1), "median of a hit in memory, of the no-op")).to.include({ held: true });
  });

  it("hold at the limit", () => {
    expect(standing([cell({ ratios: ratios(1.25) })], "median of a hit in memory, of the no-op")).to.include({
      held: true,
    });
    expect(standing([cell({ ratios: ratios(1, 1.5) })], "p99 of a hit in memory, of the no-op")).to.include({
      held: true,
    });
    const crowded = (rate: number) => [cell({ concurrency: 16, ratios: ratios(1, 1, rate) })];
    expect(standing(crowded(0.8), "throughput of a hit in memory, of the")).to.include({ held: true });
    expect(standing(crowded(0.79), "throughput of a hit in memory, of the")).to.include({ held: false });
  });

  it("count every registry request: one in any round breaks the promise of none", () => {
    expect(
      standing([cell({ registryRequests: 1, registryPerAdmission: 0.001 })], "registry requests of a hit"),
    ).to.include({
      held: false,
    });
    expect(standing([cell()], "registry requests of a hit")).to.include({ held: true });
    const burst = (registryRequests: number) => [cell({ scenario: "burst", concurrency: 200, registryRequests })];
    expect(standing(burst(3), "registry requests for 200")).to.include({ held: true });
    expect(standing(burst(4), "registry requests for 200")).to.include({ held: false });
    const deployment = [cell({ scenario: "deployment", concurrency: 20, registryRequests: 4 })];
    expect(standing(deployment, "registry requests for a Deployment")).to.include({ held: false });
    const cold = [cell({ scenario: "cold", registryPerAdmission: 3.02 })];
    expect(standing(cold, "registry requests for a new image")).to.include({ held: false });
  });

  it("compare with others' cells of the same delay", () => {
    const cells = [0, 50].flatMap((delayMs) => [
      cell({ scenario: "cold", delayMs, p50: 100 }),
      cell({ scenario: "cold", delayMs, p50: delayMs === 50 ? 90 : 300, contestant: "kyverno" }),
    ]);
    const verdict = standing(cells, "median of a new image, ahead of kyverno's");
    expect(verdict).to.include({ held: false, figure: "1.11x (cold, concurrency 1, delay 50 ms)" });
  });

  it("are neither held nor missed when they were not measured", () => {
    for (const verdict of verdicts([])) expect(verdict).to.not.have.property("held");
    expect(promisesText(verdicts([]))).to.not.match(/held|MISSED/);
    expect(promisesText(verdicts([cell({ registryRequests: 1 })]))).to.match(
      /^MISSED {2}registry requests of a hit in memory/,
    );
  });
});

describe("the bench's table", () => {
  it("puts those that are compared together, ratios before milliseconds", () => {
    const cells = [
      cell({ contestant: "noop", ratios: ratios(1) }),
      cell({ contestant: "noop", scenario: "cold" }),
      cell({ ratios: ratios(1.234) }),
    ];
    const [head = "", ...rows] = table({ cells }).split("\n");
    expect(
      rows.map((row) =>
        row
          .split(/ {2,}/)
          .slice(0, 4)
          .map((text) => text.trim())
          .join(" "),
      ),
    ).to.deep.equal(["warm-tag 1 0 ms noop", "warm-tag 1 0 ms entrepot", "cold 1 0 ms noop"]);
    expect(head.indexOf("p50/noop")).to.be.below(head.indexOf("p50 ms"));
    expect(rows[1]).to.contain("1.23x");
    expect(rows[2], "nothing to compare with").to.contain("-");
  });
});

describe("the bench's plot", () => {
  const cells = [0, 50].flatMap((delayMs) =>
    [1, 16].flatMap((concurrency) =>
      ["noop", "entrepot"].map((contestant) => cell({ contestant, delayMs, concurrency, p50: 10, p99: 100 })),
    ),
  );

  it("is an SVG with every panel, contestant and scenario named", () => {
    const svg = plot(cells);
    expect(svg).to.match(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg"/);
    for (const text of [
      "Concurrency 1, registry delay 0 ms",
      "Concurrency 16, registry delay 50 ms",
      "noop",
      "entrepot",
    ])
      expect(svg).to.contain(text);
    const opened = svg.match(/<(g|text|svg|title)\b/g)?.length;
    expect(opened, "what is opened is closed").to.equal(svg.match(/<\/(g|text|svg|title)>/g)?.length);
    expect(svg).to.not.contain("NaN");
  });

  it("has a logarithmic scale: ten times as much is as far everywhere", () => {
    const y = (p50: number) => {
      const drawn = plot([cell({ p50, p99: 1000 }), cell({ contestant: "noop", p50: 1, p99: 1000 })]);
      return Number(/circle cx="[\d.]+" cy="(-?[\d.]+)" r="4"/.exec(drawn)?.[1]);
    };
    expect(y(1) - y(10)).to.be.above(20);
    expect(y(1) - y(10)).to.be.closeTo(y(10) - y(100), 0.2);
  });

  it("leaves out what could not be measured", () => {
    expect(plot([cell({ p50: Number.NaN, p99: Number.NaN }), cell({ contestant: "noop" })])).to.not.contain("NaN");
    expect(plot([])).to.contain("</svg>");
  });
});
