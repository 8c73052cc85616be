import { Counter, Histogram, type Registry } from "prom-client";
import type { ObserveRequest } from "../adapters/registry/transport.ts";
import type { AdmissionRequest } from "../core/admission/request.ts";
import { LegacyMetrics } from "./legacy-metrics.ts";
import { requestLabels } from "./request-labels.ts";
import type { ReviewResponse } from "./review.ts";

function outcomeOf({ allowed, status, patch, warnings }: ReviewResponse): string {
  if (!allowed) return status?.code === 400 ? "denied" : "error";
  if (patch !== undefined) return "patched";
  return warnings === undefined ? "allowed" : "warned";
}

/** The metrics of admission. Labels are closed sets, whatever a review says: never an image, a name or a digest. */
export class WebhookMetrics {
  readonly admissions: Counter<"webhook" | "kind" | "outcome">;
  readonly duration: Histogram<"webhook">;
  readonly lookups: Counter<"level" | "result">;
  readonly refusals: Counter<"level" | "reason">;
  readonly verifications: Counter<"outcome">;
  readonly resolutions: Counter<"outcome">;
  readonly ownerReads: Counter;
  readonly rewrittenImages: Counter<"outcome">;
  readonly registryRequests: Counter<"operation" | "outcome">;
  readonly registryDuration: Histogram<"operation">;
  readonly legacy: LegacyMetrics;

  constructor(registry: Registry) {
    const registers = [registry];
    this.legacy = new LegacyMetrics(registry);
    this.admissions = new Counter({
      name: "entrepot_admission_requests_total",
      help: "Admission requests by webhook, kind and outcome",
      labelNames: ["webhook", "kind", "outcome"],
      registers,
    });
    this.duration = new Histogram({
      name: "entrepot_admission_duration_seconds",
      help: "Time to answer an admission request",
      labelNames: ["webhook"],
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25],
      registers,
    });
    this.lookups = new Counter({
      name: "entrepot_cache_lookups_total",
      help: "Lookups of one image under one policy, by the level that was asked and what it had",
      labelNames: ["level", "result"],
      registers,
    });
    this.refusals = new Counter({
      name: "entrepot_cache_refusals_total",
      help: "Annotations that were not believed, by where they stood and why",
      labelNames: ["level", "reason"],
      registers,
    });
    this.verifications = new Counter({
      name: "entrepot_verifications_total",
      help: "Verifications of one authority against a registry",
      labelNames: ["outcome"],
      registers,
    });
    this.resolutions = new Counter({
      name: "entrepot_tag_resolutions_total",
      help: "Tags resolved by a registry",
      labelNames: ["outcome"],
      registers,
    });
    this.rewrittenImages = new Counter({
      name: "entrepot_rewritten_images_total",
      help: "Images that a CacheRule covers, by whether Pods were given the cache's name for them",
      labelNames: ["outcome"],
      registers,
    });
    this.registryRequests = new Counter({
      name: "entrepot_registry_requests_total",
      help: "HTTP requests to registries and their token services",
      labelNames: ["operation", "outcome"],
      registers,
    });
    this.registryDuration = new Histogram({
      name: "entrepot_registry_request_duration_seconds",
      help: "Time of one HTTP request to a registry or its token service",
      labelNames: ["operation"],
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers,
    });
    this.ownerReads = new Counter({
      name: "entrepot_owner_reads_total",
      help: "Metadata-only reads of owners",
      registers,
    });
  }

  /** Counts one answered review. */
  answered(webhook: string, request: AdmissionRequest, answer: ReviewResponse, milliseconds: number): void {
    const labels = requestLabels(request);
    this.admissions.inc({ webhook, kind: labels.kind, outcome: outcomeOf(answer) });
    this.duration.observe({ webhook }, milliseconds / 1000);
    this.legacy.observe(request.operation, labels, answer.allowed, milliseconds);
  }

  /** Counts one HTTP request of the registry client. */
  readonly observeRegistry: ObserveRequest = (operation, outcome, seconds) => {
    this.registryRequests.inc({ operation, outcome });
    this.registryDuration.observe({ operation }, seconds);
  };
}
