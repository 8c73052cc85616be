import { messageOf } from "../../core/errors.ts";
import type { Log } from "../telemetry/log.ts";
import { keyOf } from "./resources.ts";
import type { KubeObject, ObjectKey, WatchEvent } from "./types.ts";

/**
 * A change of one object: no `before` is an addition, no `after` a deletion. When an object was deleted and made anew while nobody
 * watched, both are there and their uids differ. A resync repeats an object as both.
 */
export interface Change<T extends KubeObject> {
  readonly key: ObjectKey;
  readonly before?: T;
  readonly after?: T;
}

/** An informer's memory: what was last seen, and who wants to know. A handler that throws is logged and disturbs nobody else. */
export class Store<T extends KubeObject> {
  readonly #objects = new Map<ObjectKey, T>();
  readonly #handlers = new Set<(change: Change<T>) => void>();
  readonly #transform: (object: T) => T;
  readonly #log: Log;

  constructor(transform: (object: T) => T, log: Log) {
    this.#transform = transform;
    this.#log = log;
  }

  get size(): number {
    return this.#objects.size;
  }

  get(key: ObjectKey): T | undefined {
    return this.#objects.get(key);
  }

  list(): readonly T[] {
    return [...this.#objects.values()];
  }

  /** Calls `handler` for what is there now and for every change to come. Returns what ends it. */
  subscribe(handler: (change: Change<T>) => void): () => void {
    this.#handlers.add(handler);
    for (const [key, after] of [...this.#objects]) this.#call(handler, { key, after });
    return () => this.#handlers.delete(handler);
  }

  /** Takes a whole list as the truth: what is missing from it was deleted. */
  replace(items: readonly T[]): void {
    const gone = new Set(this.#objects.keys());
    for (const item of items) {
      gone.delete(keyOf(item));
      this.#put(item);
    }
    for (const key of gone) this.#remove(key);
  }

  /** Takes one event of a watch. */
  apply(event: Exclude<WatchEvent<T>, { type: "BOOKMARK" }>): void {
    if (event.type === "DELETED") this.#remove(keyOf(event.object), event.object);
    else this.#put(event.object);
  }

  /** Tells every object again. */
  resync(): void {
    for (const [key, object] of [...this.#objects]) this.#tell({ key, before: object, after: object });
  }

  #put(object: T): void {
    const key = keyOf(object);
    const before = this.#objects.get(key);
    if (before !== undefined && before.metadata.resourceVersion === object.metadata.resourceVersion) return;
    const after = this.#transform(object);
    this.#objects.set(key, after);
    this.#tell(before === undefined ? { key, after } : { key, before, after });
  }

  #remove(key: ObjectKey, last?: T): void {
    const known = this.#objects.get(key);
    if (known === undefined) return;
    this.#objects.delete(key);
    this.#tell({ key, before: last === undefined ? known : this.#transform(last) });
  }

  #tell(change: Change<T>): void {
    for (const handler of [...this.#handlers]) this.#call(handler, change);
  }

  #call(handler: (change: Change<T>) => void, change: Change<T>): void {
    try {
      handler(change);
    } catch (thrown) {
      this.#log.error("informer handler failed", { key: change.key, error: messageOf(thrown) });
    }
  }
}
