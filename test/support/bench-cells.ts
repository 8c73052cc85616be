import type { Cell, RoundCell } from "../../bench/results.ts";

const KEY = { contestant: "entrepot", scenario: "warm-tag", concurrency: 1, delayMs: 0 } as const;

/** A cell of one round. */
export function roundCell(more: Partial<RoundCell> = {}): RoundCell {
  return {
    ...KEY,
    round: 0,
    samples: 500,
    p50: 4,
    p90: 6,
    p99: 9,
    throughput: 200,
    registryRequests: 0,
    registryPerAdmission: 0,
    kubePerAdmission: 0,
    cpuMsPerAdmission: 1,
    apiServerCpuMsPerAdmission: 3,
    clientCpuMsPerAdmission: 0.3,
    peakMiB: 200,
    failures: 0,
    ...more,
  };
}

/** A cell over all rounds. */
export function cell(more: Partial<Cell> = {}): Cell {
  return {
    ...KEY,
    rounds: 3,
    samples: 1500,
    p50: 4,
    p90: 6,
    p99: 9,
    throughput: 200,
    registryPerAdmission: 0,
    registryRequests: 0,
    kubePerAdmission: 0,
    cpuMsPerAdmission: 1,
    peakMiB: 200,
    failures: 0,
    ratios: {},
    ...more,
  };
}
