import type { Log } from "../adapters/telemetry/log.ts";
import type { AdmissionConfig } from "../core/admission/config.ts";
import {
  type AdmissionRequest,
  cacheAnnotation,
  controllerOwner,
  type OwnerRef,
  stringMap,
} from "../core/admission/request.ts";
import { type CacheContext, isCurrent } from "../core/cache/freshness.ts";
import { contentsKey, type SealedRecords } from "../core/cache/record.ts";
import type { RefusalReason, Sealer } from "../core/cache/seal.ts";
import type { CacheNames } from "../core/cachenames/types.ts";
import { hashKey } from "../core/hashkey.ts";
import { fieldsOf } from "../core/json.ts";
import type { CompiledPolicy, Keychain } from "../core/policy/types.ts";
import { joinKeychains } from "../core/registry/keychain.ts";
import { Slots } from "../core/slots.ts";
import type { Memory } from "./memory.ts";
import type { WebhookMetrics } from "./metrics.ts";
import type { Owners } from "./owners.ts";

/** Which revision of its StatefulSet or DaemonSet a Pod is of: their controllers write it. */
const REVISION_LABEL = "controller-revision-hash";

/** Everything that admission decides by, swapped whole: one request sees one state of the world. */
export interface Snapshot {
  readonly policies: readonly CompiledPolicy[];
  readonly config: AdmissionConfig;
  /** Which names of images are equal, by the CacheRules. */
  readonly names: CacheNames;
  readonly sealer: Sealer;
  /** UID of the kube-system namespace: the cluster's identity. */
  readonly cluster: string;
}

/** Which webhook asks. Only the mutating one writes; both decide independently. */
export type Phase = "mutate" | "validate";

/** Whose credentials a workload's images are pulled with. */
export interface PullIdentity {
  readonly namespace: string;
  readonly serviceAccountName: string;
  readonly imagePullSecrets: readonly string[];
}

/** A hash: the names are as long and as many as their author likes, and stand in keys. They count once each, in their order, as they are read. */
function credentialScope({ namespace, serviceAccountName, imagePullSecrets }: PullIdentity): string {
  return hashKey([namespace, serviceAccountName, [...new Set(imagePullSecrets)]]);
}

/** Reads credentials from the API server; called only when a registry has to be asked. */
export interface Keychains {
  forPod(identity: PullIdentity): Promise<Keychain>;
  forSecrets(namespace: string, names: readonly string[]): Promise<Keychain>;
}

export interface CaseTools {
  readonly memory: Memory;
  readonly owners: Owners;
  readonly keychains: Keychains;
  readonly metrics: WebhookMetrics;
  readonly log: Log;
}

/**
 * One admission request with what it has been told so far: its own annotation and its owners', each opened at most once. An
 * annotation that does not open, or comes from another cluster or epoch, is as good as absent (design D3, D4).
 */
export class Case {
  readonly request: AdmissionRequest;
  readonly phase: Phase;
  /** The pod template was changed: its tags are resolved anew, because that is what people restart a rollout for. */
  readonly restarted: boolean;
  /** An UPDATE without a new image. */
  readonly unchanged: boolean;
  readonly snapshot: Snapshot;
  readonly context: CacheContext;
  readonly signal: AbortSignal;
  readonly owner: OwnerRef | undefined;
  readonly annotation: string | undefined;
  /** What the object had before this UPDATE. */
  readonly previous: string | undefined;
  /** Stands for the credentials that the keychain will hold, so that shared work is shared only among equals. */
  readonly credentialScope: string;
  /** Evaluations of `spec.policy` at once: each has the whole object in its input, and a replica has one queue for all requests. */
  readonly evaluations = new Slots(4, Number.POSITIVE_INFINITY);
  readonly #tools: CaseTools;
  readonly #identity: PullIdentity;
  #podKeychain: Promise<Keychain> | undefined;
  #own: Promise<SealedRecords | undefined> | undefined;
  #before: Promise<SealedRecords | undefined> | undefined;
  #owners: AsyncGenerator<SealedRecords, undefined> | undefined;
  readonly #inherited: Promise<SealedRecords | undefined>[] = [];

  constructor(
    input: {
      request: AdmissionRequest;
      phase: Phase;
      snapshot: Snapshot;
      now: Date;
      signal: AbortSignal;
      identity: PullIdentity;
      restarted: boolean;
      unchanged: boolean;
    },
    tools: CaseTools,
  ) {
    const { request, snapshot } = input;
    const metadata = fieldsOf(request.object["metadata"]);
    this.request = request;
    this.phase = input.phase;
    this.snapshot = snapshot;
    this.signal = input.signal;
    this.#identity = input.identity;
    this.restarted = input.restarted;
    this.unchanged = input.unchanged;
    this.credentialScope = credentialScope(input.identity);
    this.context = {
      cluster: snapshot.cluster,
      epoch: snapshot.config.epoch,
      namespace: request.namespace,
      now: input.now,
      cacheTtlSeconds: snapshot.config.cacheTtlSeconds,
    };
    this.owner = controllerOwner(metadata);
    this.annotation = cacheAnnotation(metadata);
    this.previous = cacheAnnotation(request.oldObject?.["metadata"]);
    this.#tools = tools;
  }

  /** The workload's pull credentials, read once, with those of a policy's own Secrets before them. */
  async keychain(signaturePullSecrets: readonly string[]): Promise<Keychain> {
    this.#podKeychain ??= this.#tools.keychains.forPod(this.#identity);
    if (signaturePullSecrets.length === 0) return await this.#podKeychain;
    const own = await this.#tools.keychains.forSecrets(this.request.namespace, signaturePullSecrets);
    return joinKeychains(own, await this.#podKeychain);
  }

  /** Whether an UPDATE brings another annotation than the object had, as `kubectl rollout undo` does: its ReplicaSet's. Or none at all. */
  get bringsAnnotation(): boolean {
    return this.request.oldObject !== undefined && this.annotation !== this.previous;
  }

  /** The records on the object itself, if the cache is on and the seal holds. */
  own(): Promise<SealedRecords | undefined> {
    this.#own ??= this.#open(this.annotation, "own");
    return this.#own;
  }

  /** The records that the object had, if this UPDATE brings others or none, as whoever writes whole objects may. */
  before(): Promise<SealedRecords | undefined> {
    this.#before ??= this.#open(this.bringsAnnotation ? this.previous : undefined, "own");
    return this.#before;
  }

  /** The records of the owners, nearest first: the `index`-th annotation that opens, or undefined. Owners are read only as far as asked. */
  inherited(index: number): Promise<SealedRecords | undefined> {
    this.#owners ??= this.#openOwners();
    const owners = this.#owners;
    while (this.#inherited.length <= index) {
      this.#inherited.push(owners.next().then(({ value, done }) => (done === true ? undefined : value)));
    }
    return this.#inherited[index] ?? Promise.resolve(undefined);
  }

  async *#openOwners(): AsyncGenerator<SealedRecords, undefined> {
    if (!this.snapshot.config.cacheEnabled) return undefined;
    const { owner, request, signal } = this;
    const revision = stringMap(fieldsOf(request.object["metadata"])?.["labels"])[REVISION_LABEL];
    for await (const annotation of this.#tools.owners.annotations(owner, revision, request.namespace, signal)) {
      const sealed = await this.#open(annotation, "owner");
      if (sealed !== undefined) yield sealed;
    }
    return undefined;
  }

  async #open(annotation: string | undefined, level: "own" | "owner"): Promise<SealedRecords | undefined> {
    if (annotation === undefined || !this.snapshot.config.cacheEnabled) return undefined;
    const { memory } = this.#tools;
    const { sealer: by } = this.snapshot;
    const known = memory.opened.get(annotation);
    const opened = known?.by === by ? known.opened : by.open(annotation);
    if (opened !== known?.opened && opened.kind === "opened") {
      memory.opened.set(annotation, { by, opened }); // refusals cost their sender, not our memory
      memory.sealed.set(contentsKey(opened.sealed), { by, annotation }); // an owner's, which its children will carry
    }
    if (opened.kind === "refused") return this.#refuse(level, opened.reason);
    return isCurrent(opened.sealed, this.context) ? opened.sealed : this.#refuse(level, "cluster-or-epoch");
  }

  #refuse(level: "own" | "owner", reason: RefusalReason | "cluster-or-epoch"): undefined {
    const { kind, namespace, name } = this.request;
    this.#tools.metrics.refusals.inc({ level, reason });
    this.#tools.log.warn("cache annotation discarded: the image is verified afresh", {
      level,
      reason,
      kind,
      namespace,
      name,
    });
    return undefined;
  }
}
