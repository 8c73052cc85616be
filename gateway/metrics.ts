import { Counter, Gauge, Histogram, type Registry } from "prom-client";

/** The `rule` label of requests that no rule answers; no object can have this name. */
export const NO_RULE = "_undeclared";

export const REQUEST_KINDS = [
  "ping",
  "manifest",
  "blob",
  "tags",
  "referrers",
  "catalog",
  "invalid",
  "limited",
] as const;
export type RequestKind = (typeof REQUEST_KINDS)[number];

const CODE_CLASSES = ["2xx", "3xx", "4xx", "5xx"] as const;
type CodeClass = (typeof CODE_CLASSES)[number];

function classOf(status: number): CodeClass {
  return status < 300 ? "2xx" : status < 400 ? "3xx" : status < 500 ? "4xx" : "5xx";
}

/** The gateway's metrics. The `rule` label has the names of CacheRules that are served now, and one value for everything else. */
export class GatewayMetrics {
  readonly rules: Gauge;
  readonly refusedRules: Gauge;
  readonly inFlight: Gauge;
  readonly problems: Counter<"problem">;
  readonly #requests: Counter<"rule" | "kind" | "code">;
  readonly #bytes: Counter<"rule" | "kind">;
  readonly #duration: Histogram<"kind">;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#requests = new Counter({
      name: "entrepot_gateway_requests_total",
      help: `Requests by CacheRule (${NO_RULE}: no rule names the repository), kind and class of the status.`,
      labelNames: ["rule", "kind", "code"],
      registers,
    });
    this.#bytes = new Counter({
      name: "entrepot_gateway_response_bytes_total",
      help: "Bytes of content sent to clients, by CacheRule and kind.",
      labelNames: ["rule", "kind"],
      registers,
    });
    this.#duration = new Histogram({
      name: "entrepot_gateway_request_duration_seconds",
      help: "Time from a request to the last byte of its answer.",
      labelNames: ["kind"],
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300],
      registers,
    });
    this.problems = new Counter({
      name: "entrepot_gateway_problems_total",
      help: "Exchanges that failed: backend or upstream unreachable, too slow, answering what no registry answers, or the client went away.",
      labelNames: ["problem"],
      registers,
    });
    this.inFlight = new Gauge({
      name: "entrepot_gateway_requests_in_flight",
      help: "Requests being served now.",
      registers,
    });
    this.rules = new Gauge({ name: "entrepot_gateway_rules", help: "CacheRules being served.", registers });
    this.refusedRules = new Gauge({
      name: "entrepot_gateway_refused_rules",
      help: "CacheRules marked Accepted that the gateway does not serve: they do not parse or overlap another.",
      registers,
    });
  }

  /** Counts one finished request. */
  observe(rule: string, kind: RequestKind, status: number, bytes: number, seconds: number): void {
    this.#requests.inc({ rule, kind, code: classOf(status) });
    this.#bytes.inc({ rule, kind }, bytes);
    this.#duration.observe({ kind }, seconds);
  }

  /** Forgets the counts of a rule that is gone, so that the number of series follows the number of rules. */
  forget(rule: string): void {
    for (const kind of REQUEST_KINDS) {
      this.#bytes.remove({ rule, kind });
      for (const code of CODE_CLASSES) this.#requests.remove({ rule, kind, code });
    }
  }
}
