import type { Cell, CellKey, Ratios, RoundCell } from "./results.ts";
import { median } from "./statistics.ts";

const BASELINES = ["none", "noop"] as const;

/** Joins what rounds measured: one cell for each key, in the order of the first round. */
export function summarize(all: readonly RoundCell[]): readonly Cell[] {
  const byKey = Map.groupBy(all, keyOf);
  return [...byKey.values()].flatMap((rounds) => {
    const [first] = rounds;
    return first === undefined ? [] : [summary(first, rounds, all)];
  });
}

/** A text that names a cell. */
export function keyOf({ contestant, scenario, concurrency, delayMs }: CellKey): string {
  return `${contestant} ${scenario} ${concurrency} ${delayMs}`;
}

function summary(key: CellKey, rounds: readonly RoundCell[], all: readonly RoundCell[]): Cell {
  const middle = (of: (cell: RoundCell) => number) => median(rounds.map(of));
  const sum = (of: (cell: RoundCell) => number) => rounds.reduce((total, cell) => total + of(cell), 0);
  const ratios: Record<string, Ratios> = {};
  for (const baseline of BASELINES) {
    const against = ratiosTo(baseline, rounds, all);
    if (against !== undefined) ratios[baseline] = against;
  }
  const { contestant, scenario, concurrency, delayMs } = key;
  return {
    contestant,
    scenario,
    concurrency,
    delayMs,
    rounds: rounds.length,
    samples: sum(({ samples }) => samples),
    p50: middle(({ p50 }) => p50),
    p90: middle(({ p90 }) => p90),
    p99: middle(({ p99 }) => p99),
    throughput: middle(({ throughput }) => throughput),
    registryPerAdmission: middle(({ registryPerAdmission }) => registryPerAdmission),
    registryRequests: Math.max(...rounds.map(({ registryRequests }) => registryRequests)),
    kubePerAdmission: middle(({ kubePerAdmission }) => kubePerAdmission),
    cpuMsPerAdmission: middle(({ cpuMsPerAdmission }) => cpuMsPerAdmission),
    peakMiB: middle(({ peakMiB }) => peakMiB),
    failures: sum(({ failures }) => failures),
    ratios,
  };
}

/** A baseline never asks the registry, so it is measured without delay alone and stands for every delay. */
function ratiosTo(baseline: string, rounds: readonly RoundCell[], all: readonly RoundCell[]): Ratios | undefined {
  const pairs = rounds.flatMap((cell) => {
    const base = all.find(
      ({ contestant, scenario, concurrency, round }) =>
        contestant === baseline &&
        scenario === cell.scenario &&
        concurrency === cell.concurrency &&
        round === cell.round,
    );
    return base === undefined ? [] : [{ cell, base }];
  });
  if (pairs.length === 0) return undefined;
  const ratio = (of: (cell: RoundCell) => number) => median(pairs.map(({ cell, base }) => of(cell) / of(base)));
  return {
    p50: ratio(({ p50 }) => p50),
    p90: ratio(({ p90 }) => p90),
    p99: ratio(({ p99 }) => p99),
    throughput: ratio(({ throughput }) => throughput),
  };
}
