import type { Log } from "../adapters/telemetry/log.ts";
import { IMAGES_LIMIT } from "../core/admission/plan.ts";
import { type AdmissionRequest, stringMap } from "../core/admission/request.ts";
import { imageFields } from "../core/admission/workload.ts";
import { messageOf } from "../core/errors.ts";
import { fieldsOf } from "../core/json.ts";
import type { MatchSubject } from "../core/policy/match.ts";
import { refusalByName, refusalBySpec } from "../core/policy/named.ts";
import { isRewritable, isWritable, referencesIn } from "../core/rewrite/images.ts";
import { missingPullSecrets, pullSecretOperations } from "../core/rewrite/pullsecrets.ts";
import { type KeptImage, type Rewriting, rewrite } from "../core/rewrite/rewrite.ts";
import type { Snapshot } from "./case.ts";
import type { WebhookMetrics } from "./metrics.ts";
import type { PullSecrets } from "./pullsecrets.ts";
import { allowed, type ReviewResponse } from "./review.ts";

export interface RewriterOptions {
  /** What to decide by; throws while there is nothing. */
  readonly current: () => Snapshot;
  readonly systemNamespace: string;
  readonly pullSecrets: PullSecrets;
  readonly metrics: WebhookMetrics;
  readonly log: Log;
}

/** The API server cuts what it is told of one object after 4096 characters; the annotation says all. */
const WARNINGS = 10;

/** What the cache is made of must not be pulled from it. */
const SYSTEM = "kube-system";

/**
 * Gives Pods the names of caches. It never refuses: an answer that refuses counts for the API server as a decision, whatever `failurePolicy` says, and
 * a Pod that can't be given a cache's name still has the upstream's.
 */
export class Rewriter {
  readonly #options: RewriterOptions;

  constructor(options: RewriterOptions) {
    this.#options = options;
  }

  /** Answers `/rewriting`. */
  async answer(request: AdmissionRequest, signal: AbortSignal): Promise<ReviewResponse> {
    try {
      return await this.#rewrite(request, signal);
    } catch (thrown) {
      const { namespace, name } = request;
      this.#options.log.error("Pod not rewritten", { namespace, name, error: messageOf(thrown) });
      return allowed(request.uid, [`images keep the upstreams' names: ${messageOf(thrown)}`], []);
    }
  }

  async #rewrite(request: AdmissionRequest, signal: AbortSignal): Promise<ReviewResponse> {
    const { namespace } = request;
    if (!isRewritable(request) || namespace === this.#options.systemNamespace || namespace === SYSTEM)
      return allowed(request.uid, [], []);
    const { config, names, policies } = this.#options.current();
    if (config.rewriteImages === "off") return allowed(request.uid, [], []);
    if (countOf(request) > IMAGES_LIMIT)
      return allowed(request.uid, [`images keep the upstreams' names: the Pod has more than ${IMAGES_LIMIT}`], []);
    const subject = subjectOf(request);
    const bySpec = names.size === 0 ? undefined : refusalBySpec(policies, referencesIn(request), names, subject);
    const done = rewrite(
      request,
      names,
      (original, cached) => bySpec ?? refusalByName(policies, original, cached, names, subject, config.noMatchPolicy),
    );
    this.#report(request, done);
    const secrets = await this.#pullSecrets(request, done, signal);
    const warnings = [...keptWarnings(done.kept), ...secrets.warnings];
    return allowed(request.uid, warnings, [...done.patch, ...pullSecretOperations(request.object, secrets.present)]);
  }

  /** The Secrets to add: those that the namespace has. */
  async #pullSecrets(request: AdmissionRequest, { renamed }: Rewriting, signal: AbortSignal) {
    const caches = renamed.map(({ by }) => by.cache);
    const missing = isWritable(request) ? missingPullSecrets(request.object, caches) : [];
    const { namespace } = request;
    const looked = await Promise.all(
      missing.map(async (name) => ({
        name,
        presence: await this.#options.pullSecrets.look(namespace, name, signal),
      })),
    );
    const absent = looked.filter(({ presence }) => presence === "absent");
    return {
      present: looked.filter(({ presence }) => presence === "present").map(({ name }) => name),
      warnings: absent.map(
        ({ name }) => `namespace "${namespace}" has no Secret "${name}", with which nodes pull from the cache`,
      ),
    };
  }

  #report(request: AdmissionRequest, { renamed, kept }: Rewriting): void {
    const { metrics, log } = this.#options;
    if (renamed.length > 0) metrics.rewrittenImages.inc({ outcome: "rewritten" }, renamed.length);
    if (kept.length === 0) return;
    metrics.rewrittenImages.inc({ outcome: "kept" }, kept.length);
    const { namespace, name, operation, dryRun } = request;
    const images = kept.slice(0, WARNINGS).map(({ key, image, reason }) => ({ key, image, reason }));
    log.info("images not rewritten", { namespace, name, operation, dryRun, count: kept.length, images });
  }
}

function countOf({ object }: AdmissionRequest): number {
  const podSpec = fieldsOf(object["spec"]);
  return podSpec === undefined ? 0 : imageFields(podSpec).length;
}

function subjectOf({ group, version, resource, object }: AdmissionRequest): MatchSubject {
  return { group, version, resource, labels: stringMap(fieldsOf(object["metadata"])?.["labels"]) };
}

function keptWarnings(kept: readonly KeptImage[]): readonly string[] {
  const lines = kept.slice(0, WARNINGS).map(({ key, image, reason }) => `${key}: ${image} is not rewritten: ${reason}`);
  const more = kept.length - lines.length;
  return more > 0 ? [...lines, `${more} more images are not rewritten`] : lines;
}
