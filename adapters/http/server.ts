import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createHttpsServer, Server as HttpsServer } from "node:https";
import type { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { messageOf } from "../../core/errors.ts";
import type { Log } from "../telemetry/log.ts";
import { HttpError } from "./errors.ts";

/** Serves one request. What it throws is answered with the `HttpError`'s status, or with 500, and logged. */
export type Handler = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;

/** A serving certificate with its chain, and its private key, in PEM. */
export interface TlsPair {
  readonly cert: string | Buffer;
  readonly key: string | Buffer;
}

export interface ServerOptions {
  readonly handler: Handler;
  readonly port: number;
  readonly host?: string;
  readonly tls?: TlsPair;
  readonly log: Log;
  /** How long a client may take to send a whole request (default 30 s). */
  readonly requestTimeoutMs?: number;
}

/** A server that is listening. */
export interface RunningServer {
  readonly port: number;
  /** Serves new connections with another certificate; throws, and keeps the old one, when the pair is unusable. */
  reloadTls(tls: TlsPair): void;
  /**
   * Ends without losing a request: goes on serving for `ms`, telling every client to close its connection, then closes and waits for the
   * requests in flight (at most `graceMs`, default 15 s). A client that sends on a kept connection just when we close it would
   * lose a request, and the API server repeats only GETs (design D16). Resolves when everything is closed.
   */
  drain(ms: number, graceMs?: number): Promise<void>;
  /** Closes at once, cutting what is in flight. */
  close(): Promise<void>;
}

// The API server keeps idle connections for 90 s (client-go transport: Go's default IdleConnTimeout); it must be the one who closes.
const KEEP_ALIVE_MS = 120_000;
const HEADERS_TIMEOUT_MS = 10_000;
const TIMEOUT_CHECK_MS = 2_000;
const GRACE_MS = 15_000;
const MUTE_MS = 500; // for a first request that is on its way
const MIN_TLS = "TLSv1.2";

/** Starts a server, HTTPS when `tls` is given. Rejects when the port cannot be had or the certificate is unusable. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const connections = new Connections();
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    connections.asked(request, response);
    void serve(options, request, response);
  };
  const common = {
    keepAliveTimeout: KEEP_ALIVE_MS,
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: options.requestTimeoutMs ?? 30_000,
    connectionsCheckingInterval: TIMEOUT_CHECK_MS,
  };
  const server: Server =
    options.tls === undefined
      ? createHttpServer(common, listener)
      : createHttpsServer({ ...common, ...options.tls, minVersion: MIN_TLS, ALPNProtocols: ["http/1.1"] }, listener);
  server.on(options.tls === undefined ? "connection" : "secureConnection", (socket: Socket) =>
    connections.opened(socket),
  );
  await listen(server, options.port, options.host);
  return new NodeServer(server, connections);
}

class NodeServer implements RunningServer {
  readonly port: number;
  readonly #server: Server;
  readonly #connections: Connections;
  #drained: Promise<void> | undefined;

  constructor(server: Server, connections: Connections) {
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("the server listens on no port");
    this.port = address.port;
    this.#server = server;
    this.#connections = connections;
  }

  reloadTls(tls: TlsPair): void {
    if (!(this.#server instanceof HttpsServer)) throw new Error("a server without TLS cannot change its certificate");
    this.#server.setSecureContext({ ...tls, minVersion: MIN_TLS });
  }

  async drain(ms: number, graceMs: number = GRACE_MS): Promise<void> {
    this.#drained ??= this.#drain(ms, graceMs);
    await this.#drained;
  }

  async close(): Promise<void> {
    await this.#close(0);
  }

  async #drain(ms: number, graceMs: number): Promise<void> {
    this.#connections.drain();
    await delay(ms);
    await this.#close(graceMs);
  }

  async #close(graceMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    const timers = [
      setTimeout(() => this.#connections.closeMute(), Math.min(MUTE_MS, graceMs)),
      setTimeout(() => this.#server.closeAllConnections(), graceMs),
    ];
    await closed;
    for (const timer of timers) clearTimeout(timer);
  }
}

/** What is open, so that it can be ended politely. */
class Connections {
  readonly #answers = new Set<ServerResponse>();
  readonly #mute = new Set<Socket>();
  #draining = false;

  /** A connection was made; until its first request it is mute, and Node does not count it as idle. */
  opened(socket: Socket): void {
    this.#mute.add(socket);
    socket.once("close", () => this.#mute.delete(socket));
  }

  /** A request came; while draining, its answer tells the client that it is the connection's last. */
  asked(request: IncomingMessage, response: ServerResponse): void {
    this.#mute.delete(request.socket);
    if (this.#draining) response.setHeader("Connection", "close");
    this.#answers.add(response);
    response.once("close", () => this.#answers.delete(response));
  }

  drain(): void {
    this.#draining = true;
    for (const response of this.#answers) {
      if (!response.headersSent) response.setHeader("Connection", "close");
    }
  }

  closeMute(): void {
    for (const socket of this.#mute) socket.destroy();
  }
}

async function listen(server: Server, port: number, host: string | undefined): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ port, ...(host === undefined ? {} : { host }) }, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

async function serve(
  { handler, log }: ServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  try {
    await handler(request, response);
  } catch (thrown) {
    const refused = thrown instanceof HttpError;
    const path = (request.url ?? "").split("?", 1)[0]?.slice(0, 200);
    if (refused) log.warn("request refused", { method: request.method, path, code: thrown.code });
    else log.error("request failed", { method: request.method, path, error: messageOf(thrown) });
    if (response.headersSent) {
      response.destroy();
      return;
    }
    // The rest of the request is unread: the connection cannot be used again.
    response.writeHead(refused ? thrown.status : 500, {
      "Content-Type": "text/plain; charset=utf-8",
      Connection: "close",
    });
    response.end(refused ? `${thrown.message}\n` : "Internal error; see the log of this process\n");
  }
}
