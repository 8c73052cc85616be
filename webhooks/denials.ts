import { LRUCache } from "lru-cache";
import type { Clock } from "../adapters/clock.ts";
import type { EventRecorder } from "../adapters/kube/events.ts";
import type { KubeObject } from "../adapters/kube/types.ts";
import type { Log } from "../adapters/telemetry/log.ts";
import { TokenBucket } from "../adapters/tokenbucket.ts";
import type { Conclusion, JudgedImage } from "../core/admission/conclude.ts";
import { type AdmissionRequest, controllerOwner } from "../core/admission/request.ts";
import { type Violation, violations } from "../core/admission/violations.ts";
import { messageOf } from "../core/errors.ts";
import { hashKey } from "../core/hashkey.ts";
import { type Fields, fieldsOf } from "../core/json.ts";
import { isApiVersion, isKindName, isNamespaceName, isObjectName, isUid, NAME_LIMIT } from "../core/objectnames.ts";

export interface DenialOptions {
  readonly events: Pick<EventRecorder, "record">;
  readonly clock: Clock;
  readonly log: Log;
}

/** A controller tries again for ever; people look now and then. */
const QUIET_MS = 5 * 60_000;
const REMEMBERED = 4096;
/** Of one replica, whatever is denied: so many Events at once, then one a second. */
const BURST = 50;
const REFILL_MS = 1_000;

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");

/** What an Event is about, unless nothing can be called so: nobody would find the Event, and its texts would be as long as an author likes. */
function reference(
  apiVersion: string,
  kind: string,
  namespace: string,
  { name, uid }: { readonly name: string; readonly uid: string },
): KubeObject | undefined {
  if (!isApiVersion(apiVersion) || !isKindName(kind)) return undefined;
  if (!isNamespaceName(namespace) || !isObjectName(name) || (uid !== "" && !isUid(uid))) return undefined;
  return { apiVersion, kind, metadata: { name, namespace, ...(uid && { uid }) } };
}

/** The controller that will go on trying, if the object has one: `kubectl describe` finds it, while what was refused does not exist. */
function controllerOf(metadata: Fields | undefined, namespace: string): KubeObject | undefined {
  const owner = controllerOwner(metadata);
  return owner && reference(owner.apiVersion, owner.kind, namespace, owner);
}

/** What the API server would begin a generated name with. */
function generatedFrom(prefix: string): string {
  return prefix.length > NAME_LIMIT ? "" : prefix.replace(/[^a-z0-9]+$/, "");
}

/** What the Event is about: the object, or its controller where the object will never be. */
function regardingOf(request: AdmissionRequest): KubeObject | undefined {
  const { group, version, kind, namespace, operation } = request;
  const metadata = fieldsOf(request.object["metadata"]);
  const owner = operation === "CREATE" ? controllerOf(metadata, namespace) : undefined;
  if (owner !== undefined) return owner;
  const name = textOf(metadata?.["name"]) || request.name || generatedFrom(textOf(metadata?.["generateName"]));
  const apiVersion = group === "" ? version : `${group}/${version}`;
  return reference(apiVersion, kind, namespace, { name, uid: textOf(metadata?.["uid"]) });
}

/**
 * Tells of denials and warnings by Events in the workload's namespace: about one object and policy at most one in five minutes, and
 * of all not more than a cluster's event store should bear.
 */
export class Denials {
  readonly #options: DenialOptions;
  readonly #told: LRUCache<string, true>;
  readonly #budget: TokenBucket;

  constructor(options: DenialOptions) {
    const perf = { now: () => options.clock.monotonicMs() };
    this.#options = options;
    this.#told = new LRUCache({ max: REMEMBERED, ttl: QUIET_MS, ttlResolution: 0, perf });
    this.#budget = new TokenBucket(BURST, REFILL_MS, options.clock);
  }

  /** Notes what came of a request; `images` and `conclusion` are what it was answered by. Returns at once and never throws. */
  report(request: AdmissionRequest, images: readonly JudgedImage[], conclusion: Conclusion): void {
    if (request.dryRun || (conclusion.errors === undefined && conclusion.warnings.length === 0)) return;
    try {
      const regarding = regardingOf(request);
      if (regarding === undefined) return;
      for (const violation of violations(images, conclusion)) this.#tell(regarding, violation);
    } catch (thrown) {
      this.#options.log.warn("denial not told by an Event", { error: messageOf(thrown) });
    }
  }

  #tell(regarding: KubeObject, { reason, policy, note }: Violation): void {
    const { kind, metadata } = regarding;
    const key = hashKey([kind, metadata.namespace, metadata.name, metadata.uid, reason, policy]);
    if (this.#told.has(key) || !this.#budget.take()) return;
    this.#told.set(key, true);
    this.#options.events.record({ regarding, type: "Warning", reason, action: "Admit", note });
  }
}
