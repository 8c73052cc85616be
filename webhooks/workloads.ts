import type { Operation } from "fast-json-patch";
import type { Clock } from "../adapters/clock.ts";
import { type Conclusion, conclude } from "../core/admission/conclude.ts";
import { annotationPatch, imagePatch } from "../core/admission/patch.ts";
import { isUnchanged } from "../core/admission/plan.ts";
import type { AdmissionRequest } from "../core/admission/request.ts";
import { objectAt, type WorkloadKind, workloadKind } from "../core/admission/workload.ts";
import { pinned } from "../core/image/reference.ts";
import { fieldsOf } from "../core/json.ts";
import { desiredAnnotation } from "./annotate.ts";
import { Case, type CaseTools, type Phase, type PullIdentity, type Snapshot } from "./case.ts";
import { affected } from "./conditions.ts";
import type { Denials } from "./denials.ts";
import type { Judge, Judgement } from "./judge.ts";
import { allowed, denied, type ReviewResponse } from "./review.ts";

export interface WorkloadTools extends CaseTools {
  readonly judge: Judge;
  readonly clock: Clock;
  readonly denials: Denials;
}

/** What came of a request, and of which images. */
interface Answer {
  readonly results: Judgement["results"];
  readonly conclusion: Conclusion;
}

function pullIdentity(request: AdmissionRequest, kind: WorkloadKind): PullIdentity {
  const podSpec = objectAt(request.object, kind.podSpec);
  const account = podSpec?.["serviceAccountName"];
  const secrets = podSpec?.["imagePullSecrets"];
  const names = (Array.isArray(secrets) ? secrets : []).map((entry) => fieldsOf(entry)?.["name"]);
  return {
    namespace: request.namespace,
    serviceAccountName: typeof account === "string" && account !== "" ? account : "default",
    imagePullSecrets: names.filter((name): name is string => typeof name === "string"),
  };
}

/** Requests on which there is nothing to decide. */
function isExempt(request: AdmissionRequest, kind: WorkloadKind | undefined): boolean {
  if (request.operation === "DELETE" || request.operation === "CONNECT") return true;
  // By the stored object, which only loses finalizers now: what a user sends of a deletion means nothing.
  if (fieldsOf(request.oldObject?.["metadata"])?.["deletionTimestamp"] !== undefined) return true;
  if (kind === undefined) return true;
  const { subresources, imageless = [] } = kind;
  return request.subResource !== "" && ![...subresources, ...imageless].includes(request.subResource);
}

/** Admission of workloads: the mutating webhook seals and pins, the validating one decides about what is left after all mutators. */
export class Workloads {
  readonly #tools: WorkloadTools;

  constructor(tools: WorkloadTools) {
    this.#tools = tools;
  }

  /** Answers `/mutations`. It never refuses because of a verdict: a later mutator may still change the image, the validating webhook sees the last word. */
  async mutate(request: AdmissionRequest, snapshot: Snapshot, signal: AbortSignal): Promise<ReviewResponse> {
    const kind = workloadKind(request.group, request.kind);
    if (kind === undefined || isExempt(request, kind)) return allowed(request.uid, [], []);
    const at = this.#case(request, kind, "mutate", snapshot, signal);
    if (this.#nothingNew(at)) return allowed(request.uid, [], []);
    const judgement = await this.#tools.judge.judge(at, kind);
    const annotation = await desiredAnnotation(judgement, at, this.#tools.memory);
    const patch = [...annotationPatch(request.object, annotation), ...pins(judgement, kind, snapshot)];
    return allowed(request.uid, [], patch);
  }

  /** Answers `/validations`, independently of what the mutating webhook did. */
  async validate(request: AdmissionRequest, snapshot: Snapshot, signal: AbortSignal): Promise<ReviewResponse> {
    const kind = workloadKind(request.group, request.kind);
    if (kind === undefined || isExempt(request, kind)) return allowed(request.uid, [], []);
    const at = this.#case(request, kind, "validate", snapshot, signal);
    const { results, conclusion } = at.unchanged ? await this.#rejudge(at, kind) : await this.#conclude(at, kind);
    this.#report(request, results, conclusion);
    if (conclusion.errors !== undefined)
      return denied(request.uid, `validation failed: ${conclusion.errors}`, conclusion.warnings);
    return allowed(request.uid, conclusion.warnings, []);
  }

  async #conclude(at: Case, kind: WorkloadKind): Promise<Answer> {
    const { config } = at.snapshot;
    const { results, invalid } = await this.#tools.judge.judge(at, kind);
    const mustPin = kind.kind === "Pod" ? config.resolveDigests !== "off" : config.resolveDigests === "all";
    return { results, conclusion: conclude(results, invalid, config, mustPin) };
  }

  /** An UPDATE without a new image answers only to policies whose `spec.policy` sees another object than before. */
  async #rejudge(at: Case, kind: WorkloadKind): Promise<Answer> {
    const policies = affected(at);
    if (policies.length === 0) return { results: [], conclusion: { warnings: [] } };
    const judgement = await this.#tools.judge.judge(at, kind, policies);
    const results = judgement.results.filter(({ task }) => task.policies.length > 0);
    const config = { ...at.snapshot.config, noMatchPolicy: "allow" } as const; // whether they have one was decided when they came
    return { results, conclusion: conclude(results, [], config, false) };
  }

  /** An UPDATE that changes neither image nor annotation: nothing is opened, nobody is asked (design D6). */
  #nothingNew(at: Case): boolean {
    return at.unchanged && !(at.snapshot.config.cacheEnabled && at.bringsAnnotation);
  }

  #case(request: AdmissionRequest, kind: WorkloadKind, phase: Phase, snapshot: Snapshot, signal: AbortSignal): Case {
    const identity = pullIdentity(request, kind);
    const unchanged = isUnchanged(request, kind);
    const restarted = request.operation === "UPDATE" && kind.kind !== "Pod" && !unchanged;
    return new Case(
      { request, phase, snapshot, now: this.#tools.clock.now(), signal, identity, restarted, unchanged },
      this.#tools,
    );
  }

  #report(request: AdmissionRequest, results: Answer["results"], conclusion: Conclusion): void {
    const { errors, warnings } = conclusion;
    if (errors === undefined && warnings.length === 0) return;
    this.#tools.denials.report(request, results, conclusion);
    const { kind, namespace, name, operation, dryRun } = request;
    const outcome = errors === undefined ? "warned" : "denied";
    this.#tools.log.info("admission", { outcome, kind, namespace, name, operation, dryRun, errors, warnings });
  }
}

/** Digests go onto Pods at creation, never into a template (design D5), unless the configuration says `all`. */
function pins(judgement: Judgement, kind: WorkloadKind, snapshot: Snapshot): readonly Operation[] {
  const { resolveDigests } = snapshot.config;
  const wanted = resolveDigests === "all" || (resolveDigests === "pods" && kind.kind === "Pod");
  if (!wanted || judgement.unchanged) return [];
  return judgement.results.flatMap(({ task, digest }) =>
    digest === undefined || task.reference.digest !== undefined
      ? []
      : [imagePatch(task.path, pinned(task.reference, digest))],
  );
}
