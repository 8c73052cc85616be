import { randomUUID } from "node:crypto";
import { KubeError } from "../../adapters/kube/errors.ts";
import type { KubeClient, KubeObject, Resource } from "../../adapters/kube/types.ts";
import { isFields } from "../../core/json.ts";

/** RFC 7396. */
function merged(target: unknown, patch: unknown): unknown {
  if (!isFields(patch)) return patch;
  const result: Record<string, unknown> = isFields(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = merged(result[key], value);
  }
  return result;
}

const changed = (name: string) => new KubeError("CONFLICT", `${name}: changed`);

/**
 * A few objects in memory behind the calls of `KubeClient`, with what the API server does to metadata: uid, generation with spec,
 * resourceVersion, and CONFLICT where a write names another. It counts writes.
 */
export class MemoryKube implements Pick<KubeClient, "get" | "create" | "replace" | "mergePatch" | "delete"> {
  readonly #objects = new Map<string, KubeObject>();
  #version = 0;
  /** `verb Kind/name` of every write, oldest first. */
  readonly writes: string[] = [];
  /** Called before each write; what it throws is what the caller gets. */
  beforeWrite: (write: string) => void = () => undefined;

  #key(kind: string, name: string): string {
    return `${kind}/${name}`;
  }

  #store<T extends KubeObject>(object: T): T {
    const metadata = { ...object.metadata, resourceVersion: String(++this.#version) };
    const stored = { ...object, metadata };
    this.#objects.set(this.#key(object.kind, metadata.name), stored);
    return structuredClone(stored);
  }

  #write(verb: string, kind: string, name: string): void {
    const write = `${verb} ${this.#key(kind, name)}`;
    this.beforeWrite(write);
    this.writes.push(write);
  }

  /** What somebody else makes or changes: counted as nobody's write. */
  put<T extends KubeObject>(object: T): T {
    return this.#store({ ...object, metadata: { uid: randomUUID(), generation: 1, ...object.metadata } });
  }

  /** An object as it is; undefined for none. */
  peek<T extends KubeObject>(kind: string, name: string): T | undefined {
    const found = this.#objects.get(this.#key(kind, name));
    return found === undefined ? undefined : (structuredClone(found) as T);
  }

  async get<T extends KubeObject>(resource: Resource, name: string): Promise<T> {
    const found = this.peek<T>(resource.kind, name);
    if (found === undefined) throw new KubeError("NOT_FOUND", `${resource.kind} ${name}: not found`);
    return found;
  }

  async create<T extends KubeObject>(resource: Resource, object: T): Promise<T> {
    const { name } = object.metadata;
    this.#write("create", resource.kind, name);
    if (this.peek(resource.kind, name) !== undefined) throw new KubeError("ALREADY_EXISTS", `${name}: exists`);
    return this.put(object);
  }

  async replace<T extends KubeObject>(resource: Resource, object: T): Promise<T> {
    const { name } = object.metadata;
    this.#write("replace", resource.kind, name);
    const found = await this.get<T>(resource, name);
    if (object.metadata.resourceVersion !== found.metadata.resourceVersion) throw changed(name);
    return this.#store(object);
  }

  async mergePatch<T extends KubeObject>(resource: Resource, name: string, patch: object): Promise<T> {
    this.#write("patch", resource.kind, name);
    const found = await this.get<T & { spec?: unknown }>(resource, name);
    const next = merged(found, patch) as T & { spec?: unknown };
    if (next.metadata.resourceVersion !== found.metadata.resourceVersion) throw changed(name);
    const respecified = JSON.stringify(next.spec) !== JSON.stringify(found.spec);
    const generation = (found.metadata.generation ?? 1) + (respecified ? 1 : 0);
    return this.#store({ ...next, metadata: { ...next.metadata, generation } });
  }

  async delete(resource: Resource, name: string): Promise<void> {
    this.#write("delete", resource.kind, name);
    this.#objects.delete(this.#key(resource.kind, name));
  }

  /** What the controllers do to a Deployment: its Pods are replaced, and the status says so. */
  rollOut(name: string, replicas = 2): void {
    const found = this.peek<KubeObject & { spec?: object }>("Deployment", name);
    if (found === undefined) throw new Error(`no Deployment ${name}`);
    const status = {
      observedGeneration: found.metadata.generation,
      replicas,
      updatedReplicas: replicas,
      availableReplicas: replicas,
    };
    this.#store({ ...found, status });
  }
}
