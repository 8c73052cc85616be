import type { Machine } from "./machine.ts";
import type { ScenarioName } from "./scenario-names.ts";

/** What names a cell, the same in every round. */
export interface CellKey {
  readonly contestant: string;
  readonly scenario: ScenarioName;
  readonly concurrency: number;
  /** What the registry's proxy held every request back for. */
  readonly delayMs: number;
}

/** One cell as one round measured it. Times are milliseconds, of one admission as the client saw it. */
export interface RoundCell extends CellKey {
  readonly round: number;
  /** Admissions that count; in the scenario `deployment` one: until all its Pods exist. */
  readonly samples: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  /** Admissions in a second. */
  readonly throughput: number;
  /** All requests to the registry while it was measured. */
  readonly registryRequests: number;
  readonly registryPerAdmission: number;
  /** Requests to the API server other than the bench's own. */
  readonly kubePerAdmission: number;
  /** CPU of the contestant's processes. */
  readonly cpuMsPerAdmission: number;
  /** CPU of the API server, and of the client. */
  readonly apiServerCpuMsPerAdmission: number;
  readonly clientCpuMsPerAdmission: number;
  /** Peak resident memory of the contestant's processes while it was measured. */
  readonly peakMiB: number;
  /** Pods that were not admitted, though they should have been, and what was said of the first. */
  readonly failures: number;
  readonly failure?: string;
}

/** A cell over all rounds: medians, and ratios to the cells of the same round. */
export interface Cell extends CellKey {
  readonly rounds: number;
  readonly samples: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly throughput: number;
  readonly registryPerAdmission: number;
  /** The most registry requests that one round made. */
  readonly registryRequests: number;
  readonly kubePerAdmission: number;
  readonly cpuMsPerAdmission: number;
  readonly peakMiB: number;
  readonly failures: number;
  /** By baseline (`none`, `noop`); absent where the baseline was not measured. */
  readonly ratios: Readonly<Record<string, Ratios>>;
}

/** How many times as much as the baseline of the same round; the median of rounds. */
export interface Ratios {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly throughput: number;
}

/** A figure that the project promises, and how it stands. */
export interface Verdict {
  readonly promise: string;
  /** Absent when the run did not measure what it speaks of. */
  readonly held?: boolean;
  /** The number that decides, and of which cell it is. */
  readonly figure: string;
}

/** What `results.json` holds. */
export interface Results {
  readonly began: string;
  readonly seconds: number;
  readonly machine: Machine;
  readonly versions: Readonly<Record<string, string>>;
  readonly options: Readonly<Record<string, unknown>>;
  /** What went wrong in the run itself. */
  readonly troubles: readonly string[];
  readonly promises: readonly Verdict[];
  readonly cells: readonly Cell[];
  readonly rounds: readonly RoundCell[];
}
