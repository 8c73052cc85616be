import { once } from "node:events";
import { Agent, createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as pause } from "node:timers/promises";

/** How a registry behind a door fails: an answer at once, a connection that breaks, no answer at all. */
export type Failure = "503" | "reset" | "silence";

/** A real registry's front door, plain HTTP: everything is counted, held back for as long as is asked, or fails. */
export class RegistryDoor {
  /** `host:port`. */
  readonly host: string;
  /** What the product asked for, oldest first; what cosign and others do is not counted. */
  readonly asked: { readonly path: string; readonly user: string }[] = [];
  delayMs = 0;
  failure: Failure | undefined;
  readonly #server: Server;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #target: URL;

  private constructor(server: Server, target: URL) {
    this.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    this.#server = server;
    this.#target = target;
    server.on("request", (incoming: IncomingMessage, outgoing: ServerResponse) => void this.#pass(incoming, outgoing));
  }

  /** Opens one before the registry at `target` (`host:port`). */
  static async open(target: string): Promise<RegistryDoor> {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    return new RegistryDoor(server, new URL(`http://${target}`));
  }

  /** How many requests there were about a repository. */
  count(repository: string): number {
    return this.asked.filter(({ path }) => path.startsWith(`/v2/${repository}/`)).length;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
    this.#agent.destroy();
  }

  async #pass(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const { method, url: path = "", headers } = incoming;
    const isOurs = headers["user-agent"]?.startsWith("entrepot") === true;
    if (isOurs) {
      const [, login = ""] = (headers.authorization ?? "").split(" ");
      this.asked.push({ path, user: Buffer.from(login, "base64").toString().split(":")[0] ?? "" });
      if (this.failure !== undefined) return this.#fail(this.failure, outgoing);
      if (this.delayMs > 0) await pause(this.delayMs);
    }
    const { hostname: host, port } = this.#target;
    const onward = request({ agent: this.#agent, host, port, method, path, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    onward.on("error", () => outgoing.destroy());
    incoming.pipe(onward);
  }

  #fail(failure: Failure, outgoing: ServerResponse): void {
    if (failure === "503") outgoing.writeHead(503).end();
    if (failure === "reset") outgoing.destroy();
  }
}
