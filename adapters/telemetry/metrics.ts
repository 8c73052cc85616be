import { monitorEventLoopDelay } from "node:perf_hooks";
import { Counter, Gauge, Registry } from "prom-client";

/**
 * Conventions: metrics are named fields of a class built with the process's Registry; names begin with `entrepot_` and end with their
 * unit; labels take few values, known beforehand (never an image, a digest, a user's name or an error's text).
 */

/** A Registry for one process, with its component and version and the few metrics of the process that tell trouble. */
export function createRegistry(component: string, version: string): Registry {
  const registry = new Registry();
  const registers = [registry];
  new Gauge({
    name: "entrepot_build_info",
    help: "Always 1; the labels say which part of Entrepot runs, and its version.",
    labelNames: ["component", "version"],
    registers,
  }).set({ component, version }, 1);
  processMetrics(registers);
  eventLoopMetrics(registers);
  return registry;
}

// The names are those that Prometheus client libraries agree on (prometheus.io/docs/instrumenting/writing_clientlibs, process metrics).
function processMetrics(registers: Registry[]): void {
  new Gauge({
    name: "process_start_time_seconds",
    help: "Start time of the process (Unix time).",
    registers,
  }).set(Math.round(Date.now() / 1000 - process.uptime()));
  new Gauge({
    name: "process_resident_memory_bytes",
    help: "Resident memory of the process.",
    registers,
    collect() {
      this.set(process.memoryUsage.rss());
    },
  });
  let spent = 0;
  new Counter({
    name: "process_cpu_seconds_total",
    help: "User and system CPU time spent by the process.",
    registers,
    collect() {
      const { user, system } = process.cpuUsage();
      const total = (user + system) / 1e6;
      this.inc(Math.max(0, total - spent));
      spent = total;
    },
  });
}

function eventLoopMetrics(registers: Registry[]): void {
  const delay = monitorEventLoopDelay({ resolution: 20 });
  delay.enable();
  new Gauge({
    name: "nodejs_eventloop_lag_p99_seconds",
    help: "99th percentile of the event loop's delay since the last scrape: above some 0.1 s the process is short of CPU.",
    registers,
    collect() {
      const p99 = delay.percentile(99);
      this.set(Number.isFinite(p99) ? p99 / 1e9 : 0);
      delay.reset();
    },
  });
  new Gauge({
    name: "nodejs_heap_size_used_bytes",
    help: "JavaScript heap in use.",
    registers,
    collect() {
      this.set(process.memoryUsage().heapUsed);
    },
  });
}
