import { Counter, Histogram, type Registry } from "prom-client";
import type { AdmissionRequest } from "../core/admission/request.ts";
import { OTHER, type RequestLabels } from "./request-labels.ts";

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

/** Forged reviews may name namespaces without end. A page of so many is some 30 MB, and takes several times as much while it is made. */
const SERIES_LIMIT = 5_000;

/**
 * policy-controller's two metrics under their names (knative `webhook/stats_reporter.go`), so that alerts and dashboards go on working.
 * Their namespace label is as large as the cluster, up to a bound past which new namespaces are counted together; our own have none.
 */
export class LegacyMetrics {
  readonly #count: Counter<(typeof LABELS)[number]>;
  readonly #latencies: Histogram<(typeof LABELS)[number]>;
  readonly #series = new Set<string>();

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
  observe(operation: AdmissionRequest["operation"], of: RequestLabels, allowed: boolean, milliseconds: number): void {
    const labels = {
      request_operation: operation,
      kind_group: of.group,
      kind_version: of.version,
      kind_kind: of.kind,
      resource_group: of.group,
      resource_version: of.version,
      resource_resource: of.resource,
      resource_namespace: of.namespace,
      admission_allowed: String(allowed),
    };
    const known = this.#hasRoom(Object.values(labels).join(" "));
    const counted = known ? labels : { ...labels, resource_namespace: OTHER };
    this.#count.inc(counted);
    this.#latencies.observe(counted, milliseconds);
  }

  #hasRoom(series: string): boolean {
    if (this.#series.has(series)) return true;
    if (this.#series.size >= SERIES_LIMIT) return false;
    this.#series.add(series);
    return true;
  }
}
