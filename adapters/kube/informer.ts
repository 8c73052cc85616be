import { type BackoffPolicy, backoffMs, RECONNECT } from "../../core/backoff.ts";
import { messageOf } from "../../core/errors.ts";
import { type Clock, systemClock } from "../clock.ts";
import type { Log } from "../telemetry/log.ts";
import { isKubeError, KubeError } from "./errors.ts";
import type { KubeMetrics } from "./metrics.ts";
import { type Change, Store } from "./store.ts";
import type { KubeClient, KubeObject, ObjectKey, Resource, Scope } from "./types.ts";

export type { Change } from "./store.ts";

export interface InformerOptions<T extends KubeObject> {
  readonly client: Pick<KubeClient, "list" | "watch">;
  readonly resource: Resource;
  readonly scope?: Scope;
  /** What to keep of an object in memory; it must keep metadata's name, namespace, uid and resourceVersion. `withoutManagedFields` by default. */
  readonly transform?: (object: T) => T;
  /** Repeat every object to the subscribers after so many milliseconds; never by default. */
  readonly resyncMs?: number;
  readonly backoff?: BackoffPolicy;
  readonly metrics?: KubeMetrics;
  readonly log: Log;
  readonly clock?: Clock;
}

const FAILURES_BEFORE_RELIST = 5; // after an etcd restore our version may lie in the future: watching from it never works again
const HEALTHY_MS = 5_000; // a watch that lasted so long was no failed attempt

/** Drops the bookkeeping of server-side apply, often half of an object. */
export function withoutManagedFields<T extends KubeObject>(object: T): T {
  return { ...object, metadata: { ...object.metadata, managedFields: undefined } };
}

/**
 * A memory of one collection that keeps itself true: list, then watch from there, for ever. What fails is tried again with
 * back-off; a version too old to watch from is answered by a new list, and what vanished in between is told as deletions.
 * Before `synced` the memory is empty: do not decide by it.
 */
export class Informer<T extends KubeObject> {
  readonly resource: Resource;
  /** Resolves after the first whole list; rejects (harmlessly, when nobody waits) if the informer is stopped before. */
  readonly synced: Promise<void>;
  readonly #options: InformerOptions<T>;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #store: Store<T>;
  readonly #first = Promise.withResolvers<void>();
  #hasSynced = false;
  #version: string | undefined; // where the next watch begins; undefined: list first
  #attemptAt = 0;
  #failures = 0;
  #lastContact: Date | undefined;
  #staleSince: Date | undefined;

  constructor(options: InformerOptions<T>) {
    this.#options = options;
    this.resource = options.resource;
    this.#clock = options.clock ?? systemClock;
    this.#log = options.log.child({ resource: options.resource.plural });
    this.#store = new Store<T>(options.transform ?? withoutManagedFields, this.#log);
    this.synced = this.#first.promise;
    this.synced.catch(() => undefined);
  }

  /** Whether the first whole list is in. */
  get hasSynced(): boolean {
    return this.#hasSynced;
  }

  /** When the API server was last heard of: a list, an accepted watch, an event, a bookmark (about one a minute). */
  get lastContact(): Date | undefined {
    return this.#lastContact;
  }

  /** Since when lists or watches have been failing; undefined while all is well. */
  get staleSince(): Date | undefined {
    return this.#staleSince;
  }

  /** The object as last seen. */
  get(key: ObjectKey): T | undefined {
    return this.#store.get(key);
  }

  /** All objects as last seen, in no order. */
  list(): readonly T[] {
    return this.#store.list();
  }

  /** Calls `handler` at once for every object that is there, then for every change. Returns what ends it. */
  subscribe(handler: (change: Change<T>) => void): () => void {
    return this.#store.subscribe(handler);
  }

  /** Keeps the memory true until `signal` aborts. Never rejects. Call it once. */
  async run(signal: AbortSignal): Promise<void> {
    const resync = this.#resyncUntil(signal);
    while (!signal.aborted) {
      this.#attemptAt = this.#clock.monotonicMs();
      try {
        this.#version ??= await this.#relist(signal);
        await this.#follow(this.#version, signal);
      } catch (thrown) {
        await this.#recover(thrown, signal);
      }
    }
    await resync;
    this.#first.reject(
      new KubeError("TIMEOUT", `The informer of ${this.resource.plural} was stopped before its first list`),
    );
  }

  async #relist(signal: AbortSignal): Promise<string> {
    const list = await this.#options.client.list<T>(this.resource, { ...this.#options.scope, signal });
    this.#options.metrics?.informerRelists.inc({ resource: this.resource.plural });
    this.#store.replace(list.items);
    this.#heard();
    if (!this.#hasSynced) {
      this.#hasSynced = true;
      this.#log.info("informer synced", { objects: list.items.length });
      this.#first.resolve();
    }
    return list.resourceVersion;
  }

  async #follow(from: string, signal: AbortSignal): Promise<void> {
    const scope = { ...this.#options.scope, resourceVersion: from, signal };
    for await (const event of this.#options.client.watch<T>(this.resource, scope)) {
      if (event.type !== "BOOKMARK") this.#store.apply(event);
      this.#version =
        event.type === "BOOKMARK" ? event.resourceVersion : (event.object.metadata.resourceVersion ?? this.#version);
      this.#heard();
    }
    if (this.#clock.monotonicMs() - this.#attemptAt < HEALTHY_MS) {
      throw new KubeError("UNAVAILABLE", `watch ${this.resource.plural}: the server ended it at once`);
    }
  }

  #heard(): void {
    this.#lastContact = this.#clock.now();
    this.#staleSince = undefined;
    const labels = { resource: this.resource.plural };
    this.#options.metrics?.informerContact.set(labels, this.#lastContact.getTime() / 1000);
    this.#options.metrics?.informerObjects.set(labels, this.#store.size);
  }

  async #recover(thrown: unknown, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const code = thrown instanceof KubeError ? thrown.code : "MALFORMED";
    this.#failures = this.#clock.monotonicMs() - this.#attemptAt < HEALTHY_MS ? this.#failures + 1 : 1;
    this.#staleSince ??= this.#clock.now();
    this.#options.metrics?.informerFailures.inc({ resource: this.resource.plural, code });
    const stuck = this.#failures % FAILURES_BEFORE_RELIST === 0;
    if (stuck || isKubeError(thrown, "GONE", "MALFORMED", "TOO_LARGE")) this.#version = undefined;
    const delay = backoffMs(this.#options.backoff ?? RECONNECT, this.#failures, Math.random());
    this.#log.warn("informer lost contact, trying again", {
      code,
      error: messageOf(thrown),
      failures: this.#failures,
      delayMs: Math.round(delay),
      relist: this.#version === undefined,
    });
    await this.#clock.sleep(delay, signal);
  }

  async #resyncUntil(signal: AbortSignal): Promise<void> {
    const period = this.#options.resyncMs;
    if (period === undefined) return;
    for (;;) {
      await this.#clock.sleep(period, signal);
      if (signal.aborted) return;
      if (this.#hasSynced) this.#store.resync();
    }
  }
}
