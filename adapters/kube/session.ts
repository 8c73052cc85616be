import { readFile } from "node:fs/promises";
import type { RequestOptions } from "node:https";
import { Agent, type Dispatcher, ProxyAgent } from "undici";
import { hashKey } from "../../core/hashkey.ts";
import { isFields, stringField } from "../../core/json.ts";
import type { Clock } from "../clock.ts";
import type { KubeAccess } from "./access.ts";
import { KubeError } from "./errors.ts";

/** A way to the API server with credentials that are good now. */
export interface Session {
  readonly origin: string;
  /** Path prefix of the server URL, without a slash at the end. */
  readonly prefix: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly dispatcher: Dispatcher;
}

const FRESH_MS = 10_000; // client-go rereads a token file every 10 s at most (client-go transport/token_source.go: period / leeway)
const CONNECT_TIMEOUT_MS = 10_000;
const IDLE_MS = 60_000; // below the API server's own 90 s, so that it is we who close an idle connection

/**
 * Hands out sessions, rereading credentials when they are older than ten seconds or were refused. Connections are kept
 * across rereadings until CA, client certificate or server change.
 */
export class Sessions {
  readonly #access: KubeAccess;
  readonly #clock: Clock;
  #loading: Promise<Session> | undefined;
  #good: Session | undefined;
  #loadedAt = 0;
  #dispatcher: { readonly fingerprint: string; readonly value: Dispatcher } | undefined;

  constructor(access: KubeAccess, clock: Clock) {
    this.#access = access;
    this.#clock = clock;
  }

  /** The current session; the last good one when rereading fails. Throws UNAUTHORIZED when there is none. */
  current(): Promise<Session> {
    const now = this.#clock.monotonicMs();
    if (this.#loading === undefined || now - this.#loadedAt >= FRESH_MS) {
      this.#loadedAt = now;
      this.#loading = this.#reload();
    }
    return this.#loading;
  }

  /** Says that the server refused the credentials: the next session rereads them. */
  invalidate(): void {
    this.#loading = undefined;
    this.#good = undefined;
  }

  /** Waits for the calls in flight, then closes the connections. */
  async close(): Promise<void> {
    await this.#dispatcher?.value.close();
  }

  async #reload(): Promise<Session> {
    try {
      this.#good = await this.#load();
      return this.#good;
    } catch (thrown) {
      this.#loading = undefined;
      if (this.#good !== undefined) return this.#good;
      throw new KubeError(
        "UNAUTHORIZED",
        "The credentials for the Kubernetes API cannot be loaded; check the kubeconfig or the service account's mount",
        { cause: thrown },
      );
    }
  }

  async #load(): Promise<Session> {
    const cluster = this.#access.getCurrentCluster();
    if (cluster === null) throw new Error("the current context names no cluster");
    const options: RequestOptions = { headers: {} };
    await this.#access.applyToHTTPSOptions(options);
    const url = new URL(cluster.server);
    return {
      origin: url.origin,
      prefix: url.pathname.replace(/\/+$/, ""),
      headers: await this.#headers(options),
      dispatcher: this.#dispatcherFor(cluster.server, cluster.proxyUrl, options),
    };
  }

  async #headers(options: RequestOptions): Promise<Record<string, string>> {
    const headers: Record<string, string> = {};
    for (const [name, value] of Object.entries(options.headers ?? {})) {
      if (typeof value === "string") headers[name.toLowerCase()] = value;
    }
    if (typeof options.auth === "string")
      headers["authorization"] = `Basic ${Buffer.from(options.auth).toString("base64")}`;
    // client-node keeps a token file's content for a minute, whatever the server says of it; read it ourselves.
    const provider: unknown = this.#access.getCurrentUser()?.authProvider;
    const tokenFile = stringField(isFields(provider) ? provider["config"] : undefined, "tokenFile");
    if (tokenFile !== undefined) headers["authorization"] = `Bearer ${(await readFile(tokenFile, "utf8")).trim()}`;
    return headers;
  }

  #dispatcherFor(server: string, proxy: string | undefined, options: RequestOptions): Dispatcher {
    const { ca, cert, key, servername, rejectUnauthorized } = options;
    const tls = Object.fromEntries(
      Object.entries({ ca, cert, key, servername, rejectUnauthorized }).filter(([, value]) => value !== undefined),
    );
    const fingerprint = hashKey([server, proxy, tls]);
    if (this.#dispatcher?.fingerprint === fingerprint) return this.#dispatcher.value;
    // HTTP/1.1 on purpose: watches and calls on connections of their own, so that one stalled stream delays nothing else.
    const common = { allowH2: false, keepAliveTimeout: IDLE_MS, connectTimeout: CONNECT_TIMEOUT_MS };
    const value =
      proxy === undefined
        ? new Agent({
            ...common,
            connect: { ...tls, timeout: CONNECT_TIMEOUT_MS, keepAlive: true, keepAliveInitialDelay: 30_000 },
          })
        : new ProxyAgent({ ...common, uri: proxy, requestTls: tls });
    const old = this.#dispatcher?.value;
    this.#dispatcher = { fingerprint, value };
    old?.close().catch(() => undefined); // calls and watches in flight end in their own time
    return value;
  }
}
