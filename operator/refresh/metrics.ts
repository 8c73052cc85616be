import { Counter, type Registry } from "prom-client";

/** Metrics of refreshing. No label names a rule or an image: those are in status, Events and the log. */
export class RefreshMetrics {
  readonly looks: Counter<"outcome">;
  readonly pulls: Counter<"reason">;
  readonly bytes: Counter;
  readonly failures: Counter<"code">;

  constructor(registry: Registry) {
    const registers = [registry];
    this.looks = new Counter({
      name: "entrepot_refresh_looks_total",
      help: "Looks at the upstreams of rules with spec.refresh by outcome: unchanged, changed, failed.",
      labelNames: ["outcome"] as const,
      registers,
    });
    this.pulls = new Counter({
      name: "entrepot_refresh_pulled_tags_total",
      help: "Tags pulled through caches ahead of need: new, moved to another digest, or expired in the cache.",
      labelNames: ["reason"] as const,
      registers,
    });
    this.bytes = new Counter({
      name: "entrepot_refresh_pulled_bytes_total",
      help: "Bytes of configurations and layers read through caches ahead of need.",
      registers,
    });
    this.failures = new Counter({
      name: "entrepot_refresh_failures_total",
      help: "What failed while refreshing, by error code.",
      labelNames: ["code"] as const,
      registers,
    });
  }
}
