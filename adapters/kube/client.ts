import type { KubeAccess } from "./access.ts";
import { isKubeError } from "./errors.ts";
import { listAll, listPages } from "./list.ts";
import { adopt } from "./objects.ts";
import { apiVersionOf, collectionPath, objectPath } from "./resources.ts";
import { type Call, Transport, type TransportOptions } from "./transport.ts";
import type { KubeClient, KubeList, KubeObject, Resource, Scope, WatchEvent } from "./types.ts";
import { decodeEvent, lines } from "./watch.ts";

/** The field manager of everything that we write. */
export const FIELD_MANAGER = "entrepot";

/** How the client is bounded; the defaults are for production. */
export interface ClientOptions extends TransportOptions {
  /** Milliseconds for one call (default 30 s); a list has them for each page. */
  readonly deadlineMs?: number;
  /** Bytes of one object or watch event (default 8 MiB: etcd's 1.5 MiB as JSON, with room). */
  readonly maxObjectBytes?: number;
  /** Bytes of one page of a list (default 64 MiB); a longer page is asked for again in smaller portions. */
  readonly maxPageBytes?: number;
  /** Bytes of a whole list (default 256 MiB). */
  readonly maxListBytes?: number;
  /** Objects of a page (default 500, as kubectl). */
  readonly pageSize?: number;
  /** Seconds after which the server ends a watch (default 290, below load balancers' usual five minutes). */
  readonly watchSeconds?: number;
}

/** A client whose connections can be closed, when the process ends in an orderly way. */
export interface ConnectedKubeClient extends KubeClient {
  /** A collection page by page, for those who need not have it all at once. Throws `KubeError`, GONE when it changed too much meanwhile. */
  pages<T extends KubeObject>(resource: Resource, scope?: Scope & { signal?: AbortSignal }): AsyncIterable<KubeList<T>>;
  /** Waits for the calls in flight (abort watches first), then closes the connections. */
  close(): Promise<void>;
}

interface CallOptions {
  readonly namespace?: string;
  readonly signal?: AbortSignal;
}

type ObjectCall = Pick<Call, "verb" | "method"> &
  Partial<Pick<Call, "accept" | "query" | "contentType" | "body">> & { readonly subresource?: "status" };

const MIB = 1024 * 1024;
const WATCH_MARGIN_MS = 15_000;
const METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/** A client of the cluster that `access` (a KubeConfig, or what `loadAccess` gives) leads to. It connects on the first call. */
export function connect(access: KubeAccess, options: ClientOptions = {}): ConnectedKubeClient {
  return new HttpKubeClient(access, options);
}

class HttpKubeClient implements ConnectedKubeClient {
  readonly #transport: Transport;
  readonly #limits: Required<Omit<ClientOptions, keyof TransportOptions>>;

  constructor(access: KubeAccess, options: ClientOptions) {
    this.#transport = new Transport(access, options);
    this.#limits = {
      deadlineMs: options.deadlineMs ?? 30_000,
      maxObjectBytes: options.maxObjectBytes ?? 8 * MIB,
      maxPageBytes: options.maxPageBytes ?? 64 * MIB,
      maxListBytes: options.maxListBytes ?? 256 * MIB,
      pageSize: options.pageSize ?? 500,
      watchSeconds: options.watchSeconds ?? 290,
    };
  }

  async get<T extends KubeObject>(resource: Resource, name: string, options: CallOptions = {}): Promise<T> {
    return await this.#object<T>(resource, name, options, { verb: "get", method: "GET" });
  }

  async getMetadata(resource: Resource, name: string, options: CallOptions = {}): Promise<KubeObject> {
    const call: ObjectCall = { verb: "get", method: "GET", accept: METADATA_ONLY };
    const { apiVersion, kind, metadata } = await this.#object<KubeObject>(resource, name, options, call);
    return { apiVersion, kind, metadata };
  }

  async create<T extends KubeObject>(resource: Resource, object: T, options: CallOptions = {}): Promise<T> {
    const { name, namespace } = object.metadata;
    const call: Call = {
      ...this.#call("create", resource, options.signal, name, namespace),
      method: "POST",
      path: collectionPath(resource, namespace),
      query: { fieldManager: FIELD_MANAGER },
      body: JSON.stringify(object),
    };
    return adopt<T>((await this.#transport.json(call)).value, resource, call.subject);
  }

  async replace<T extends KubeObject>(resource: Resource, object: T, options: CallOptions = {}): Promise<T> {
    return await this.#write(resource, object, options, {
      verb: "update",
      method: "PUT",
      query: { fieldManager: FIELD_MANAGER },
      body: JSON.stringify(object),
    });
  }

  async apply<T extends KubeObject>(resource: Resource, object: T, options: CallOptions = {}): Promise<T> {
    return await this.#write(resource, object, options, applyCall(resource, object));
  }

  async applyStatus<T extends KubeObject>(
    resource: Resource,
    object: T,
    options: CallOptions & { readonly fieldManager?: string } = {},
  ): Promise<T> {
    const call = applyCall(resource, object, options.fieldManager);
    return await this.#write(resource, object, options, { ...call, subresource: "status" });
  }

  async mergePatch<T extends KubeObject>(
    resource: Resource,
    name: string,
    patch: object,
    options: CallOptions = {},
  ): Promise<T> {
    return await this.#object<T>(resource, name, options, {
      verb: "patch",
      method: "PATCH",
      query: { fieldManager: FIELD_MANAGER },
      contentType: "application/merge-patch+json",
      body: JSON.stringify(patch),
    });
  }

  async delete(
    resource: Resource,
    name: string,
    options: CallOptions & { uid?: string; propagation?: "Background" | "Foreground" } = {},
  ): Promise<void> {
    const call: Call = {
      ...this.#call("delete", resource, options.signal, name, options.namespace),
      method: "DELETE",
      path: objectPath(resource, name, options.namespace),
      body: JSON.stringify({
        apiVersion: "v1",
        kind: "DeleteOptions",
        propagationPolicy: options.propagation ?? "Background",
        ...(options.uid === undefined ? {} : { preconditions: { uid: options.uid } }),
      }),
    };
    await this.#transport.json(call).catch((thrown: unknown) => {
      if (!isKubeError(thrown, "NOT_FOUND")) throw thrown;
    });
  }

  async list<T extends KubeObject>(
    resource: Resource,
    scope: Scope & { signal?: AbortSignal } = {},
  ): Promise<KubeList<T>> {
    return await listAll<T>(this.#transport, resource, this.#listCall(resource, scope), this.#limits);
  }

  async *pages<T extends KubeObject>(
    resource: Resource,
    scope: Scope & { signal?: AbortSignal } = {},
  ): AsyncGenerator<KubeList<T>, void, undefined> {
    for await (const { items, resourceVersion } of listPages<T>(
      this.#transport,
      resource,
      this.#listCall(resource, scope),
      this.#limits,
    ))
      yield { items, resourceVersion };
  }

  #listCall(resource: Resource, scope: Scope & { signal?: AbortSignal }): Call {
    return {
      ...this.#call("list", resource, scope.signal, undefined, scope.namespace),
      method: "GET",
      path: collectionPath(resource, scope.namespace),
      query: selectors(scope),
    };
  }

  async *watch<T extends KubeObject>(
    resource: Resource,
    scope: Scope & { resourceVersion: string; signal: AbortSignal },
  ): AsyncGenerator<WatchEvent<T>, void, undefined> {
    const { watchSeconds, maxObjectBytes } = this.#limits;
    const call: Call = {
      ...this.#call("watch", resource, scope.signal, undefined, scope.namespace),
      method: "GET",
      path: collectionPath(resource, scope.namespace),
      query: {
        ...selectors(scope),
        watch: "1",
        allowWatchBookmarks: "true",
        resourceVersion: scope.resourceVersion,
        timeoutSeconds: String(watchSeconds),
      },
      deadlineMs: watchSeconds * 1000 + WATCH_MARGIN_MS,
    };
    using stream = await this.#transport.open(call);
    yield { type: "BOOKMARK", resourceVersion: scope.resourceVersion }; // the server has accepted: the watch stands
    for await (const line of lines(stream.chunks, maxObjectBytes, call.subject)) {
      yield decodeEvent<T>(line, resource, call.subject);
    }
  }

  async close(): Promise<void> {
    await this.#transport.close();
  }

  async #write<T extends KubeObject>(
    resource: Resource,
    object: T,
    options: CallOptions,
    call: ObjectCall,
  ): Promise<T> {
    const { name, namespace } = object.metadata;
    return await this.#object<T>(
      resource,
      name,
      { ...options, ...(namespace === undefined ? {} : { namespace }) },
      call,
    );
  }

  async #object<T extends KubeObject>(
    resource: Resource,
    name: string,
    options: CallOptions,
    call: ObjectCall,
  ): Promise<T> {
    const { subresource, ...rest } = call;
    const whole: Call = {
      ...this.#call(call.verb, resource, options.signal, name, options.namespace),
      ...rest,
      path: objectPath(resource, name, options.namespace, subresource),
    };
    return adopt<T>((await this.#transport.json(whole)).value, resource, whole.subject);
  }

  #call(verb: string, resource: Resource, signal?: AbortSignal, name?: string, namespace?: string) {
    return {
      subject: subjectOf(verb, resource, name, namespace),
      verb,
      resource: resource.plural,
      maxBytes: this.#limits.maxObjectBytes,
      deadlineMs: this.#limits.deadlineMs,
      ...(signal === undefined ? {} : { signal }),
    };
  }
}

function subjectOf(verb: string, resource: Resource, name?: string, namespace?: string): string {
  const where = namespace === undefined ? "" : ` in namespace ${JSON.stringify(namespace)}`;
  return name === undefined
    ? `${verb} ${resource.plural}${where}`
    : `${verb} ${resource.kind} ${JSON.stringify(name)}${where}`;
}

function selectors(scope: Scope): Record<string, string> {
  return {
    ...(scope.labelSelector === undefined ? {} : { labelSelector: scope.labelSelector }),
    ...(scope.fieldSelector === undefined ? {} : { fieldSelector: scope.fieldSelector }),
  };
}

// Server-side apply refuses managedFields, which objects read from the API carry; JSON is YAML.
function applyCall(resource: Resource, object: KubeObject, fieldManager = FIELD_MANAGER): ObjectCall {
  const metadata = { ...object.metadata, managedFields: undefined };
  return {
    verb: "apply",
    method: "PATCH",
    query: { fieldManager, force: "true" },
    contentType: "application/apply-patch+yaml",
    body: JSON.stringify({ ...object, apiVersion: apiVersionOf(resource), kind: resource.kind, metadata }),
  };
}
