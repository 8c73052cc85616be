import type { Bed, Running } from "./contestant.ts";
import { kubeRequests } from "./kube-requests.ts";
import type { Series } from "./load.ts";
import type { RegistryProxy } from "./proxy.ts";
import type { CellKey, RoundCell } from "./results.ts";
import { percentile } from "./statistics.ts";
import { cpuMs, peakMiB, resetPeaks } from "./usage.ts";

/** What is read before and after admissions. */
export interface Gauges {
  readonly bed: Bed;
  readonly running: Running;
  readonly proxy: RegistryProxy;
  /** Pid of the API server. */
  readonly apiServer: number;
}

const NOTHING = { registry: 0, kube: 0, cpu: 0, apiServerCpu: 0, clientCpu: 0 };
type Counts = typeof NOTHING;

/** Measures one cell, in one part or several with something in between that does not count. */
export class Meter {
  readonly #gauges: Gauges;
  readonly #latencies: number[] = [];
  readonly #errors: string[] = [];
  #counts: Counts = NOTHING;
  #elapsedMs = 0;
  #peakMiB = 0;

  constructor(gauges: Gauges) {
    this.#gauges = gauges;
  }

  /** Latencies so far. */
  get done(): number {
    return this.#latencies.length + this.#errors.length;
  }

  /** Does `work` and counts it. The contestant's processes must be the same before and after. */
  async part(work: () => Promise<Series>): Promise<void> {
    const { bed, running, proxy, apiServer } = this.#gauges;
    const { pids } = running;
    const cpu = () => ({ cpu: cpuMs(pids), apiServerCpu: cpuMs([apiServer]), clientCpu: ownCpuMs() });
    resetPeaks(pids);
    const kube = await kubeRequests(bed.api);
    const before = { ...cpu(), registry: proxy.requests, kube };
    const series = await work();
    const spent = { ...cpu(), registry: proxy.requests }; // before reading the page, which costs the API server something
    const after = { ...spent, kube: await kubeRequests(bed.api) };
    this.#counts = combine(this.#counts, combine(after, before, -1));
    this.#latencies.push(...series.latencies);
    this.#errors.push(...series.errors);
    this.#elapsedMs += series.elapsedMs;
    this.#peakMiB = Math.max(this.#peakMiB, peakMiB(pids));
  }

  cell(key: CellKey, round: number): RoundCell {
    const latencies = this.#latencies;
    const samples = latencies.length;
    const { registry, kube, cpu, apiServerCpu, clientCpu } = this.#counts;
    const [failure] = this.#errors;
    const each = (total: number) => total / Math.max(1, this.done);
    return {
      ...key,
      round,
      samples,
      p50: percentile(latencies, 50),
      p90: percentile(latencies, 90),
      p99: percentile(latencies, 99),
      throughput: samples / (this.#elapsedMs / 1000),
      registryRequests: registry,
      registryPerAdmission: each(registry),
      kubePerAdmission: each(kube),
      cpuMsPerAdmission: each(cpu),
      apiServerCpuMsPerAdmission: each(apiServerCpu),
      clientCpuMsPerAdmission: each(clientCpu),
      peakMiB: this.#peakMiB,
      failures: this.#errors.length,
      ...(failure !== undefined && { failure }),
    };
  }
}

function ownCpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** `a` plus `times` `b`, field by field. */
function combine(a: Counts, b: Counts, times = 1): Counts {
  return {
    registry: a.registry + times * b.registry,
    kube: a.kube + times * b.kube,
    cpu: a.cpu + times * b.cpu,
    apiServerCpu: a.apiServerCpu + times * b.apiServerCpu,
    clientCpu: a.clientCpu + times * b.clientCpu,
  };
}
