// What the project promises of its own figures, held against what was measured.
import type { Cell, Verdict } from "./results.ts";

const OURS = "entrepot";
const IN_MEMORY = ["warm-tag", "warm-digest", "bare-digest"];
const COMPETITORS = { none: "policy-controller", off: "kyverno", cached: "kyverno-cache" } as const;

interface Figure {
  readonly cell: Cell;
  /** NaN where there is nothing to compare with. */
  readonly value: number;
}

type Value = (cell: Cell, all: readonly Cell[]) => number;

interface Promised {
  readonly promise: string;
  readonly of: (cell: Cell) => boolean;
  readonly value: Value;
  readonly unit: string;
  readonly atMost?: number;
  readonly atLeast?: number;
}

const isMemoryHit = ({ scenario }: Cell) => IN_MEMORY.includes(scenario);
const isAnnotationHit = ({ scenario }: Cell) => scenario === "restart";
const isAlone = (cell: Cell) => cell.concurrency === 1;
const isCrowded = (cell: Cell) => cell.concurrency === 16;
const isTagged = ({ scenario }: Cell) => scenario === "warm-tag";
const isDigest = ({ scenario }: Cell) => scenario === "warm-digest" || scenario === "bare-digest";
const isCold = ({ scenario }: Cell) => scenario === "cold";

/** How many times as much as another contestant's cell of the same scenario, concurrency and delay. */
const against =
  (contestant: string, of: (cell: Cell) => number): Value =>
  (cell, all) => {
    const other = all.find(
      (one) =>
        one.contestant === contestant &&
        one.scenario === cell.scenario &&
        one.concurrency === cell.concurrency &&
        one.delayMs === cell.delayMs,
    );
    return other === undefined ? Number.NaN : of(cell) / of(other);
  };

const MEASURES = [
  { name: "median", value: (cell: Cell) => cell.p50, of: isAlone, better: "atMost" },
  { name: "p99", value: (cell: Cell) => cell.p99, of: isAlone, better: "atMost" },
  { name: "throughput at 16", value: (cell: Cell) => cell.throughput, of: isCrowded, better: "atLeast" },
  { name: "CPU", value: (cell: Cell) => cell.cpuMsPerAdmission, of: () => true, better: "atMost" },
] as const;

const WARM: readonly Promised[] = MEASURES.flatMap(({ name, value, of, better }) =>
  [
    { what: "by tag, ahead of", is: isTagged },
    { what: "by digest, not behind", is: isDigest },
  ].map(({ what, is }) => ({
    promise: `${name} of a hit in memory ${what} Kyverno's warm cache`,
    of: (cell: Cell) => is(cell) && of(cell),
    value: against(COMPETITORS.cached, value),
    unit: "x",
    [better]: 1,
  })),
);

/** The same of hits in memory, and of those that the annotation gives right after a restart. */
const HITS: readonly Promised[] = [
  { hit: "a hit in memory", is: isMemoryHit },
  { hit: "an annotation hit right after a restart", is: isAnnotationHit },
].flatMap(
  ({ hit, is }) =>
    [
      { promise: `registry requests of ${hit}`, of: is, value: (cell) => cell.registryRequests, unit: "", atMost: 0 },
      {
        promise: `median of ${hit}, of the no-op pair's, at concurrency 1`,
        of: (cell) => is(cell) && isAlone(cell),
        value: ({ ratios }) => ratios["noop"]?.p50 ?? Number.NaN,
        unit: "x",
        atMost: 1.25,
      },
      {
        promise: `p99 of ${hit}, of the no-op pair's, at concurrency 1`,
        of: (cell) => is(cell) && isAlone(cell),
        value: ({ ratios }) => ratios["noop"]?.p99 ?? Number.NaN,
        unit: "x",
        atMost: 1.5,
      },
      {
        promise: `throughput of ${hit}, of the no-op pair's, at concurrency 16`,
        of: (cell) => is(cell) && isCrowded(cell),
        value: ({ ratios }) => ratios["noop"]?.throughput ?? Number.NaN,
        unit: "x",
        atLeast: 0.8,
      },
      { promise: `CPU of ${hit}`, of: is, value: (cell) => cell.cpuMsPerAdmission, unit: " ms", atMost: 1.5 },
    ] satisfies Promised[],
);

const PROMISES: readonly Promised[] = [
  ...HITS,
  {
    promise: "registry requests for a new image",
    of: isCold,
    value: (cell) => cell.registryPerAdmission,
    unit: "",
    atMost: 3,
  },
  {
    promise: "registry requests for 200 Pods of one new image at once",
    of: ({ scenario }) => scenario === "burst",
    value: (cell) => cell.registryRequests,
    unit: "",
    atMost: 3,
  },
  {
    promise: "registry requests for a Deployment of 20",
    of: ({ scenario }) => scenario === "deployment",
    value: (cell) => cell.registryRequests,
    unit: "",
    atMost: 3,
  },
  ...[COMPETITORS.none, COMPETITORS.off].map((other) => ({
    promise: `median of a new image, ahead of ${other}'s`,
    of: isCold,
    value: against(other, ({ p50 }) => p50),
    unit: "x",
    atMost: 1,
  })),
  ...WARM,
];

/** Every promise with the worst figure that speaks of it. */
export function verdicts(cells: readonly Cell[]): readonly Verdict[] {
  const ours = cells.filter(({ contestant }) => contestant === OURS);
  return PROMISES.map(({ promise, of, value, unit, atMost, atLeast }) => {
    const figures = ours.filter(of).map((cell) => ({ cell, value: value(cell, cells) }));
    const known = figures.filter((figure) => !Number.isNaN(figure.value));
    const limit = atMost ?? atLeast ?? 0;
    const words = `${promise}: ${atMost === undefined ? "at least" : "at most"} ${limit}${unit}`;
    const [first, ...others] = known;
    if (first === undefined) return { promise: words, figure: "not measured" };
    const isWorse = (a: Figure, b: Figure) => (atMost === undefined ? a.value < b.value : a.value > b.value);
    const worst = others.reduce((found, next) => (isWorse(next, found) ? next : found), first);
    const held = atMost === undefined ? worst.value >= limit : worst.value <= limit;
    return { promise: words, held, figure: `${numeral(worst.value)}${unit} (${nameOf(worst.cell)})` };
  });
}

function nameOf({ scenario, concurrency, delayMs }: Cell): string {
  return `${scenario}, concurrency ${concurrency}, delay ${delayMs} ms`;
}

function numeral(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toFixed(2);
}

/** One line for each promise. */
export function promisesText(all: readonly Verdict[]): string {
  const word = (held: boolean | undefined) => (held === undefined ? "?     " : held ? "held  " : "MISSED");
  return all
    .map(({ promise, held, figure }) => `${word(held)}  ${promise}; ${held === undefined ? "" : "it is "}${figure}`)
    .join("\n");
}
