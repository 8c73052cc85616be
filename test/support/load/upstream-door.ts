import { once } from "node:events";
import { Agent, createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import { Transform, type TransformCallback } from "node:stream";

interface User {
  readonly username: string;
  readonly password: string;
}

function basic({ username, password }: User): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}

/** Turns one bit of the byte in the middle of a body around. */
class BitFlip extends Transform {
  readonly #at: number;
  #seen = 0;

  constructor(length: number) {
    super();
    this.#at = Math.floor(length / 2);
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    const index = this.#at - this.#seen;
    const changed = Buffer.from(chunk);
    this.#seen += chunk.length;
    if (index >= 0 && index < chunk.length) changed[index] = (changed[index] ?? 0) ^ 1;
    done(null, changed);
  }
}

/** A private registry's front door: it asks for a password of its own, which can be changed at any time, and can spoil what comes through. */
export class UpstreamDoor {
  /** Whom it lets in. */
  user: User;
  /** Ends of the paths whose content leaves it with a byte changed. */
  readonly spoiled = new Set<string>();
  /** How many answers it has spoiled. */
  spoiledAnswers = 0;
  /** Requests that it turned away. */
  refused = 0;
  /** Requests that it let in: method, path and who asked. */
  readonly passed: string[] = [];
  readonly #server: Server;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #target: { readonly host: string; readonly port: string; readonly user: User };

  private constructor(server: Server, user: User, target: { host: string; port: string; user: User }) {
    this.user = user;
    this.#server = server;
    this.#target = target;
    server.on("request", (incoming: IncomingMessage, outgoing: ServerResponse) => this.#pass(incoming, outgoing));
  }

  /** Opens it on a port of all interfaces, before the registry at `address` (`host:port`). */
  static async open(port: number, address: string, behind: User, user: User): Promise<UpstreamDoor> {
    const server = createServer().listen(port, "0.0.0.0");
    await once(server, "listening");
    const { hostname: host, port: targetPort } = new URL(`http://${address}`);
    return new UpstreamDoor(server, user, { host, port: targetPort, user: behind });
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
    this.#agent.destroy();
  }

  #spoils(path: string): boolean {
    return [...this.spoiled].some((end) => path.endsWith(end));
  }

  #pass(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const { method, url: path = "", headers } = incoming;
    if (headers.authorization !== basic(this.user)) {
      this.refused += 1;
      const body = JSON.stringify({ errors: [{ code: "UNAUTHORIZED", message: "authentication required" }] });
      outgoing
        .writeHead(401, { "www-authenticate": 'Basic realm="door"', "content-type": "application/json" })
        .end(body);
      return;
    }
    this.passed.push(`${method} ${path} ${headers["user-agent"] ?? ""}`);
    const { host, port, user } = this.#target;
    const onward = request(
      { agent: this.#agent, host, port, method, path, headers: { ...headers, authorization: basic(user) } },
      (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        const isSpoiled = answer.statusCode === 200 && method === "GET" && this.#spoils(path);
        if (isSpoiled) this.spoiledAnswers += 1;
        answer.on("error", () => outgoing.destroy());
        if (isSpoiled) answer.pipe(new BitFlip(Number(answer.headers["content-length"] ?? 0))).pipe(outgoing);
        else answer.pipe(outgoing);
      },
    );
    onward.on("error", () => outgoing.destroy());
    outgoing.on("close", () => onward.destroy());
    incoming.pipe(onward);
  }
}
