import { Counter, Gauge, Histogram, type Registry } from "prom-client";

/** Metrics of the calls to the Kubernetes API and of the informers. Labels are bounded: verbs, plurals of our resources, error codes. */
export class KubeMetrics {
  readonly requests: Counter<"verb" | "resource" | "code">;
  readonly duration: Histogram<"verb">;
  readonly informerObjects: Gauge<"resource">;
  readonly informerContact: Gauge<"resource">;
  readonly informerRelists: Counter<"resource">;
  readonly informerFailures: Counter<"resource" | "code">;

  constructor(registry: Registry) {
    const registers = [registry];
    this.requests = new Counter({
      name: "entrepot_kube_requests_total",
      help: "Requests to the Kubernetes API by verb, resource and outcome (OK or the error code).",
      labelNames: ["verb", "resource", "code"],
      registers,
    });
    this.duration = new Histogram({
      name: "entrepot_kube_request_duration_seconds",
      help: "Time to the whole answer of the Kubernetes API; for a watch, to its first byte.",
      labelNames: ["verb"],
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
      registers,
    });
    this.informerObjects = new Gauge({
      name: "entrepot_informer_objects",
      help: "Objects in the informer's memory.",
      labelNames: ["resource"],
      registers,
    });
    this.informerContact = new Gauge({
      name: "entrepot_informer_last_contact_timestamp_seconds",
      help: "When the API server was last heard of for this resource (Unix time).",
      labelNames: ["resource"],
      registers,
    });
    this.informerRelists = new Counter({
      name: "entrepot_informer_lists_total",
      help: "Full lists made by the informer.",
      labelNames: ["resource"],
      registers,
    });
    this.informerFailures = new Counter({
      name: "entrepot_informer_failures_total",
      help: "Lists and watches of the informer that failed, by error code.",
      labelNames: ["resource", "code"],
      registers,
    });
  }

  /** Counts one request. */
  observe(verb: string, resource: string, code: string, seconds: number): void {
    this.requests.inc({ verb, resource, code });
    this.duration.observe({ verb }, seconds);
  }
}
