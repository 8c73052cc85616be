import { randomBytes } from "node:crypto";
import { LRUCache } from "lru-cache";
import { backoffMs, RECONNECT } from "../../core/backoff.ts";
import { messageOf } from "../../core/errors.ts";
import { hashKey } from "../../core/hashkey.ts";
import { type Clock, systemClock } from "../clock.ts";
import { startDeadline } from "../deadline.ts";
import type { Log } from "../telemetry/log.ts";
import { TokenBucket } from "../tokenbucket.ts";
import { isKubeError } from "./errors.ts";
import { Resources } from "./resources.ts";
import { microTime } from "./time.ts";
import type { KubeClient, KubeObject } from "./types.ts";

/** What happened to an object, for `kubectl describe`. The note is read by people: no secret, no foreign body. */
export interface EventNote {
  readonly regarding: KubeObject;
  readonly type: "Normal" | "Warning";
  /** CamelCase, from a fixed set. */
  readonly reason: string;
  /** What was being done, CamelCase: `Reconcile`, `Provision`. */
  readonly action: string;
  readonly note: string;
}

export interface EventRecorderOptions {
  readonly client: Pick<KubeClient, "create" | "mergePatch">;
  /** A qualified name: `entrepot.dev/operator`. */
  readonly controller: string;
  /** The Pod's name. */
  readonly instance: string;
  readonly log: Log;
  readonly clock?: Clock;
}

/** One event and its repetitions. */
interface Series {
  readonly about: EventNote;
  readonly name: string;
  readonly firstAt: Date;
  lastAt: Date;
  count: number;
  created: boolean;
}

const NOTE_BYTES = 1024; // events.k8s.io/v1 validation
const NAME_STEM = 200; // characters of the object's name, of the 253 that an Event's name may have
const REMEMBERED = 2048; // series, and objects with a budget
const SERIES_MS = 6 * 60_000; // client-go: a series ends after six minutes without a repetition
const BURST = 25; // client-go's spam filter: 25 writes about one object at once,
const REFILL_MS = 12_000; // then five a minute
const REFERENCE_BYTES = 2048; // all names of an object, as long as Kubernetes lets them be, are not half of that
const SHOWN = 100; // characters in the log of those that are longer
const PENDING_LIMIT = 1000;
const WRITE_MS = 10_000;
const ATTEMPTS = 8; // some 25 s with RECONNECT: the API server may be restarting

/** What an Event has of its object: kept in its place, which may be as long as etcd takes. */
function referenceTo({ apiVersion, kind, metadata }: KubeObject): KubeObject {
  const { name, namespace, uid, resourceVersion } = metadata;
  return {
    apiVersion,
    kind,
    metadata: {
      name,
      ...(namespace !== undefined && { namespace }),
      ...(uid !== undefined && { uid }),
      ...(resourceVersion !== undefined && { resourceVersion }),
    },
  };
}

function cutBytes(text: string, limit: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= limit) return text;
  return `${bytes.toString("utf8", 0, limit - 6).replace(/\uFFFD+$/, "")}…`;
}

/**
 * Writes Events (events.k8s.io/v1) in the background. The same happening again is counted on the first Event instead of making another;
 * writes about one object are rationed. Never throws: what cannot be written is dropped and logged. What waits or is remembered costs some
 * kilobytes each, whatever the object and the note.
 */
export class EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #clock: Clock;
  readonly #series: LRUCache<string, Series>;
  readonly #budgets: LRUCache<string, TokenBucket>;
  readonly #pending = new Set<Series>();
  #writing: Promise<void> | undefined;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    const perf = { now: () => this.#clock.monotonicMs() };
    this.#series = new LRUCache({ max: REMEMBERED, ttl: SERIES_MS, ttlResolution: 0, perf });
    this.#budgets = new LRUCache({ max: REMEMBERED });
  }

  /** Notes that something happened. Returns at once. */
  record({ regarding: object, type, reason, action, note: whole }: EventNote): void {
    const regarding = referenceTo(object);
    const { uid, namespace, name } = regarding.metadata;
    if (Buffer.byteLength(JSON.stringify(regarding)) > REFERENCE_BYTES) {
      const shown = { kind: regarding.kind.slice(0, SHOWN), object: name.slice(0, SHOWN) };
      this.#options.log.warn("event dropped, its object's names are longer than any", { reason, ...shown });
      return;
    }
    const note = cutBytes(whole, NOTE_BYTES);
    const about = { regarding, type, reason, action, note };
    const which = [regarding.kind, uid ?? [namespace, name]];
    const key = hashKey([which, type, reason, action, note]);
    const now = this.#clock.now();
    const known = this.#series.get(key);
    const series = known ?? {
      about,
      name: `${name.slice(0, NAME_STEM)}.${randomBytes(8).toString("hex")}`,
      firstAt: now,
      lastAt: now,
      count: 0,
      created: false,
    };
    series.count += 1;
    series.lastAt = now;
    this.#series.set(key, series);
    if (this.#pending.has(series) || !this.#allowed(hashKey(which))) return;
    if (this.#pending.size >= PENDING_LIMIT) {
      this.#options.log.warn("event dropped, too many wait to be written", {
        reason,
        kind: regarding.kind,
        object: name,
      });
      return;
    }
    this.#pending.add(series);
    this.#writing ??= this.#drain();
  }

  /** Resolves when everything noted so far is written or dropped, or after `ms` (default 5 s), whichever comes first. */
  async flush(ms = 5_000): Promise<void> {
    const enough = new AbortController();
    await Promise.race([this.#writing, this.#clock.sleep(ms, enough.signal)]);
    enough.abort();
  }

  #allowed(object: string): boolean {
    let budget = this.#budgets.get(object);
    if (budget === undefined) {
      budget = new TokenBucket(BURST, REFILL_MS, this.#clock);
      this.#budgets.set(object, budget);
    }
    return budget.take();
  }

  async #drain(): Promise<void> {
    for (const series of this.#pending) {
      // Removed before writing: what repeats meanwhile is written after.
      this.#pending.delete(series);
      await this.#write(series);
    }
    this.#writing = undefined;
  }

  async #write(series: Series): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.#send(series);
        return;
      } catch (thrown) {
        if (attempt === ATTEMPTS || !isKubeError(thrown, "UNAVAILABLE", "TIMEOUT", "THROTTLED", "UNAUTHORIZED")) {
          this.#options.log.warn("event dropped", {
            reason: series.about.reason,
            object: series.about.regarding.metadata.name,
            error: messageOf(thrown),
          });
          return;
        }
        await this.#clock.sleep(backoffMs(RECONNECT, attempt, Math.random()));
      }
    }
  }

  async #send(series: Series): Promise<void> {
    using deadline = startDeadline(WRITE_MS);
    const options = { signal: deadline.signal };
    const { client } = this.#options;
    const event = this.#event(series);
    if (series.created) {
      try {
        await client.mergePatch(
          Resources.events,
          series.name,
          { series: event.series },
          { namespace: event.metadata.namespace, ...options },
        );
        return;
      } catch (thrown) {
        if (!isKubeError(thrown, "NOT_FOUND")) throw thrown; // else: expired (an hour by default), made anew
      }
    }
    await client.create(Resources.events, event, options).catch((thrown: unknown) => {
      if (!isKubeError(thrown, "ALREADY_EXISTS")) throw thrown; // else: an attempt whose answer was lost
    });
    series.created = true;
  }

  #event({ about, name, firstAt, lastAt, count }: Series) {
    const { regarding, type, reason, action, note } = about;
    const { metadata } = regarding;
    return {
      apiVersion: "events.k8s.io/v1",
      kind: "Event",
      // The API takes Events about cluster-scoped objects in "default" only (core validation of involvedObject and regarding).
      metadata: { name, namespace: metadata.namespace ?? "default" },
      eventTime: microTime(firstAt),
      reportingController: this.#options.controller,
      reportingInstance: this.#options.instance,
      action,
      reason,
      type,
      note,
      regarding: { apiVersion: regarding.apiVersion, kind: regarding.kind, ...metadata }, // as `referenceTo` has cut it
      ...(count < 2 ? {} : { series: { count, lastObservedTime: microTime(lastAt) } }),
    };
  }
}
