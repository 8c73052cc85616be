import { Counter, Histogram, type Registry } from "prom-client";
import type { AdmissionRequest } from "../core/admission/request.ts";

const LABELS = [
  "request_operation",
  "kind_group",
  "kind_version",
  "kind_kind",
  "resource_group",
  "resource_version",
  "resource_resource",
  "resource_namespace",
  "admission_allowed",
] as const;

/** knative's `metrics.Buckets125(1, 100000)`, milliseconds. */
const BUCKETS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5];

/**
 * policy-controller's two metrics under their names (knative `webhook/stats_reporter.go`), so that alerts and dashboards go on working.
 * Their namespace label is as large as the cluster; our own metrics have none.
 */
export class LegacyMetrics {
  readonly #count: Counter<(typeof LABELS)[number]>;
  readonly #latencies: Histogram<(typeof LABELS)[number]>;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#count = new Counter({
      name: "policy_controller_request_count",
      help: "The number of requests that are routed to webhook",
      labelNames: LABELS,
      registers,
    });
    this.#latencies = new Histogram({
      name: "policy_controller_request_latencies",
      help: "The response time in milliseconds",
      labelNames: LABELS,
      buckets: BUCKETS,
      registers,
    });
  }

  /** Counts one answered request. */
  observe(request: AdmissionRequest, allowed: boolean, milliseconds: number): void {
    const labels = {
      request_operation: request.operation,
      kind_group: request.group,
      kind_version: request.version,
      kind_kind: request.kind,
      resource_group: request.group,
      resource_version: request.version,
      resource_resource: request.resource,
      resource_namespace: request.namespace,
      admission_allowed: String(allowed),
    };
    this.#count.inc(labels);
    this.#latencies.observe(labels, milliseconds);
  }
}
