import { Counter, Gauge, Histogram, type Registry } from "prom-client";

const SECONDS = [0.005, 0.025, 0.1, 0.5, 1, 5, 15, 60, 300];

/** Metrics of the queues and controllers. The label `controller` is a queue's fixed name. */
export class RuntimeMetrics {
  readonly depth: Gauge<"controller">;
  readonly adds: Counter<"controller">;
  readonly retries: Counter<"controller">;
  readonly queued: Histogram<"controller">;
  readonly reconciles: Counter<"controller" | "outcome">;
  readonly duration: Histogram<"controller">;
  readonly busy: Gauge<"controller">;

  constructor(registry: Registry) {
    const registers = [registry];
    const labelNames = ["controller"] as const;
    this.depth = new Gauge({
      name: "entrepot_workqueue_depth",
      help: "Keys waiting to be reconciled now.",
      labelNames,
      registers,
    });
    this.adds = new Counter({
      name: "entrepot_workqueue_adds_total",
      help: "Keys added to the queue.",
      labelNames,
      registers,
    });
    this.retries = new Counter({
      name: "entrepot_workqueue_retries_total",
      help: "Keys put back after a failure.",
      labelNames,
      registers,
    });
    this.queued = new Histogram({
      name: "entrepot_workqueue_wait_seconds",
      help: "Time from when a key was due to when a worker took it.",
      labelNames,
      buckets: SECONDS,
      registers,
    });
    this.reconciles = new Counter({
      name: "entrepot_reconciles_total",
      help: "Reconciles by outcome: success, error (tried again), terminal (not tried again until something changes).",
      labelNames: ["controller", "outcome"] as const,
      registers,
    });
    this.duration = new Histogram({
      name: "entrepot_reconcile_duration_seconds",
      help: "Time of one reconcile.",
      labelNames,
      buckets: SECONDS,
      registers,
    });
    this.busy = new Gauge({
      name: "entrepot_reconciles_running",
      help: "Reconciles running now.",
      labelNames,
      registers,
    });
  }
}
