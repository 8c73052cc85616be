import type { KubeClient, Resource } from "../adapters/kube/types.ts";
import { Shared } from "../adapters/shared.ts";
import type { Log } from "../adapters/telemetry/log.ts";
import { cacheAnnotation, controllerOwner, type OwnerRef } from "../core/admission/request.ts";
import { workloadKind } from "../core/admission/workload.ts";
import { messageOf } from "../core/errors.ts";
import { fieldsOf } from "../core/json.ts";
import { isObjectName, isUid } from "../core/objectnames.ts";
import type { Memory, OwnerFacts } from "./memory.ts";
import type { WebhookMetrics } from "./metrics.ts";

const CHAIN_LIMIT = 3; // Pod → Job → CronJob is the longest that controllers make
const LOOKUP_MS = 2_000;
const NONE: OwnerFacts = {};

function resourceOf(owner: OwnerRef): Resource | undefined {
  const kind = workloadKind(owner.group, owner.kind);
  const version = kind?.versions[0];
  if (kind === undefined || version === undefined) return undefined;
  return { group: kind.group, version, plural: kind.plural, kind: kind.kind, namespaced: true };
}

/** What stands on an object that others may inherit from. */
function ownerFacts(metadata: unknown): OwnerFacts {
  const fields = fieldsOf(metadata);
  const annotation = cacheAnnotation(metadata);
  const next = controllerOwner(fields);
  return { ...(annotation !== undefined && { annotation }), ...(next !== undefined && { next }) };
}

/**
 * What an owner's facts are remembered as, or undefined if they are not: all that they are read by, so that memory answers for no owner
 * that the API server would not answer for. A ReplicaSet or Job has one template for life. A StatefulSet or DaemonSet is written in
 * place, perhaps through another replica: what it said holds for the children of one revision. A CronJob is too, and its Jobs, rare as
 * they are, name no revision.
 */
function memoryKey({ kind, name, uid }: OwnerRef, revision: string | undefined, namespace: string): string | undefined {
  if (kind === "CronJob") return undefined;
  const inPlace = kind === "StatefulSet" || kind === "DaemonSet";
  if (inPlace && revision === undefined) return undefined;
  return JSON.stringify([namespace, kind, name, uid, ...(inPlace ? [revision] : [])]);
}

/**
 * Reads the annotations of an object's controllers, nearest first: one metadata-only GET each, and none when memory has it. Reviews of
 * the owners teach it nothing: another webhook may refuse them yet, and a forged one shows what never was.
 */
export class Owners {
  readonly #client: KubeClient;
  readonly #memory: Memory;
  readonly #metrics: WebhookMetrics;
  readonly #log: Log;
  readonly #reads = new Shared<OwnerFacts>({ max: 1, keepMs: () => 0 });

  constructor(client: KubeClient, memory: Memory, metrics: WebhookMetrics, log: Log) {
    this.#client = client;
    this.#memory = memory;
    this.#metrics = metrics;
    this.#log = log;
  }

  /**
   * The annotations up the chain, for a child of that `revision` (its `controller-revision-hash`, if it has one). An owner that is
   * gone, foreign or not the one named by UID ends it: a miss, never an error.
   */
  async *annotations(
    first: OwnerRef | undefined,
    revision: string | undefined,
    namespace: string,
    signal: AbortSignal,
  ): AsyncGenerator<string> {
    let owner = first;
    for (let depth = 0; owner !== undefined && depth < CHAIN_LIMIT; depth += 1) {
      const facts: OwnerFacts = await this.#factsOf(owner, depth === 0 ? revision : undefined, namespace, signal);
      if (facts.annotation !== undefined) yield facts.annotation;
      owner = facts.next;
    }
  }

  async #factsOf(
    owner: OwnerRef,
    revision: string | undefined,
    namespace: string,
    signal: AbortSignal,
  ): Promise<OwnerFacts> {
    const { kind, name, uid } = owner;
    const resource = resourceOf(owner);
    if (resource === undefined || !isObjectName(name) || !isUid(uid)) return NONE; // nothing is called so, and the log would have it in full
    const key = memoryKey(owner, revision, namespace);
    const known = key === undefined ? undefined : this.#memory.owners.get(key);
    if (known !== undefined) return known;
    try {
      const read = (shared: AbortSignal) =>
        this.#read(resource, owner, key, namespace, AbortSignal.any([shared, AbortSignal.timeout(LOOKUP_MS)]));
      return (await this.#reads.get(key ?? JSON.stringify([namespace, kind, name, uid]), signal, read)).value;
    } catch (thrown) {
      this.#log.warn("owner not read: its records are not used", { kind, namespace, name, error: messageOf(thrown) });
      return NONE;
    }
  }

  async #read(
    resource: Resource,
    owner: OwnerRef,
    key: string | undefined,
    namespace: string,
    signal: AbortSignal,
  ): Promise<OwnerFacts> {
    this.#metrics.ownerReads.inc();
    const live = await this.#client.getMetadata(resource, owner.name, { namespace, signal });
    if (live.metadata.uid !== owner.uid) {
      this.#metrics.refusals.inc({ level: "owner", reason: "owner-uid" });
      return NONE;
    }
    const facts = ownerFacts(live.metadata);
    if (key !== undefined) this.#memory.owners.set(key, facts);
    return facts;
  }
}
