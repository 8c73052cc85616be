import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { createServer, type Server } from "node:https";
import { selfSigned } from "./self-signed.ts";

/** One request as it came. */
export interface Received {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

export interface Reply {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  /** Never answers. */
  readonly hang?: boolean;
}

/** An https server on localhost that answers as its test says, and remembers what it was asked. */
export class FakeHttps {
  readonly received: Received[] = [];
  answer: (request: Received) => Reply = () => ({ status: 404 });
  /** Key and certificate; servers that one client trusts must share one, since their names are the same. */
  readonly identity: ReturnType<typeof selfSigned>;
  #server: Server | undefined;
  #port = 0;

  constructor(identity = selfSigned()) {
    this.identity = identity;
  }

  /** What a client must trust. */
  get ca(): string {
    return this.identity.cert;
  }

  get port(): number {
    return this.#port;
  }

  /** `localhost:port`. */
  get host(): string {
    return `localhost:${this.#port}`;
  }

  /** Listens, on the same port as before if it has. */
  async start(): Promise<void> {
    const server = createServer(this.identity, (request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const received = {
          method: request.method ?? "",
          path: request.url ?? "",
          headers: request.headers,
          body: Buffer.concat(chunks).toString(),
        };
        this.received.push(received);
        const { status = 200, headers = {}, body = "", hang = false } = this.answer(received);
        if (!hang) response.writeHead(status, headers).end(body);
      });
    });
    this.#server = server;
    server.listen(this.#port, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    this.#port = typeof address === "object" && address !== null ? address.port : 0;
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  }
}

/** A JSON answer. */
export function json(status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): Reply {
  return { status, headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) };
}
