import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";

/** One request as a fake registry saw it. */
export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly authorization: string | undefined;
}

export type Answering = (request: IncomingMessage, response: ServerResponse) => void;

/**
 * NOT a registry: a real HTTP server that answers as a broken or hostile registry would. For what registries do when they work,
 * tests use a real one (`startRegistry`).
 */
export interface FakeRegistry {
  readonly host: string;
  readonly origin: string;
  readonly requests: readonly SeenRequest[];
  /** Bytes written to clients so far: tells whether anybody still reads. */
  bytesWritten(): number;
  stop(): Promise<void>;
}

export interface FakeRegistryOptions {
  /** Key and certificate (PEM): speak TLS. */
  readonly tls?: { readonly key: string; readonly cert: string };
  /** The name it is known by; `127.0.0.1` if absent. */
  readonly name?: string;
}

/** Starts a server on a free port of the loopback interface that answers everything by `answering`. */
export async function startFakeRegistry(
  answering: Answering,
  { tls, name = "127.0.0.1" }: FakeRegistryOptions = {},
): Promise<FakeRegistry> {
  const requests: SeenRequest[] = [];
  const sockets = new Set<Socket>();
  let gone = 0;
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    requests.push({
      method: request.method ?? "",
      url: request.url ?? "",
      authorization: request.headers.authorization,
    });
    response.on("error", () => undefined);
    answering(request, response);
  };
  const server: Server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => {
      gone += socket.bytesWritten;
      sockets.delete(socket);
    });
  });
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  const host = `${name}:${(server.address() as AddressInfo).port}`;
  return {
    host,
    origin: `${tls === undefined ? "http" : "https"}://${host}`,
    requests,
    bytesWritten: () => [...sockets].reduce((sum, socket) => sum + socket.bytesWritten, gone),
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((closed) => server.close(closed));
    },
  };
}

/** Answers with a body. */
export function body(
  status: number,
  content: string | Buffer,
  headers: Readonly<Record<string, string>> = {},
): Answering {
  return (_request, response) => {
    response.writeHead(status, { "content-length": Buffer.byteLength(content), ...headers });
    response.end(content);
  };
}

/** Answers with a redirect. */
export function redirect(location: string, status = 307): Answering {
  return body(status, "", { location });
}

/** Answers with a body that never ends, as fast as it is read. */
export function endless(status = 200, headers: Readonly<Record<string, string>> = {}): Answering {
  const chunk = Buffer.alloc(64 * 1024, " ");
  return (_request, response) => {
    response.writeHead(status, headers);
    const write = (): void => {
      while (!response.destroyed && response.write(chunk));
    };
    response.on("drain", write);
    write();
  };
}

/** Answers with one byte every `everyMs`, for ever. */
export function dripping(everyMs: number): Answering {
  return (_request, response) => {
    response.writeHead(200);
    const timer = setInterval(() => response.write(" "), everyMs);
    response.on("close", () => clearInterval(timer));
  };
}

/** Accepts the request and says nothing. */
export const silence: Answering = () => undefined;

/** Breaks the connection, `times` times; afterwards answers by `then`. */
export function breaking(times: number, then: Answering): Answering {
  let left = times;
  return (request, response) => {
    if (left-- > 0) request.socket.destroy();
    else then(request, response);
  };
}
