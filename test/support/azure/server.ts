import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { selfSigned } from "../self-signed.ts";

/** One request as it came; `body` is the JSON in it. */
export interface AzureRequestSeen {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly text: string;
}

export interface AzureReply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly text?: string | Buffer;
  /** The server did what it was asked, and the connection breaks before it says so. */
  readonly cut?: boolean;
  /** Sends the first byte, and nothing after that. */
  readonly stall?: boolean;
}

/** An https server on localhost that the whole process trusts while it runs. */
export class TrustedServer {
  /** Servers that run at once must share one: their names are the same. */
  readonly identity: ReturnType<typeof selfSigned>;
  readonly #answer: (request: AzureRequestSeen) => AzureReply;
  #server: Server | undefined;
  #trusted: readonly string[] = [];
  #port = 0;

  constructor(answer: (request: AzureRequestSeen) => AzureReply, identity = selfSigned()) {
    this.#answer = answer;
    this.identity = identity;
  }

  /** `https://localhost:port`. */
  get url(): string {
    return `https://localhost:${this.#port}`;
  }

  async start(): Promise<void> {
    this.#trusted = getCACertificates("default");
    setDefaultCACertificates([...this.#trusted, this.identity.cert]);
    const server = createServer({ ...this.identity, maxHeaderSize: 64 * 1024 }, (request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => this.#reply(request, Buffer.concat(chunks).toString(), response));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    this.#port = typeof address === "object" && address !== null ? address.port : 0;
    this.#server = server;
  }

  #reply(request: IncomingMessage, text: string, response: ServerResponse): void {
    const { method = "", url = "", headers } = request;
    const reply = this.#answer({ method, path: url, headers, text });
    if (reply.cut === true) {
      request.socket.destroy();
      return;
    }
    response.writeHead(reply.status, reply.headers);
    if (reply.stall === true) response.write("{");
    else response.end(reply.text ?? "");
  }

  async stop(): Promise<void> {
    setDefaultCACertificates([...this.#trusted]);
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  }
}
