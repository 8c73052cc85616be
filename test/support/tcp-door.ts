import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

interface Pair {
  readonly near: Socket;
  readonly far: Socket;
}

/** A door on a port of loopback that leads every connection to one of several ports, in turn. What comes back through it can be held up. */
export class TcpDoor {
  readonly port: number;
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  #targets: readonly number[];
  #turn = 0;
  #held = false;

  private constructor(server: Server, targets: readonly number[]) {
    this.port = (server.address() as AddressInfo).port;
    this.#server = server;
    this.#targets = targets;
    server.on("connection", (near) => this.#admit(near));
  }

  /** Opens it on `port`, or on a free one for 0. */
  static async open(port: number, ...targets: readonly number[]): Promise<TcpDoor> {
    const server = createServer().listen(port, "127.0.0.1");
    await once(server, "listening");
    return new TcpDoor(server, targets);
  }

  /**
   * Leads to these ports from now on; connections to others end. Resolves once who made those has closed them too:
   * until then the API server may send a request on one, which is lost, as it sends no request twice.
   */
  async lead(...targets: readonly number[]): Promise<void> {
    if (targets.join() === this.#targets.join()) return;
    this.#targets = targets;
    const closed = [...this.#pairs].map(({ near, far }) => {
      far.unpipe(near);
      near.end();
      return new Promise((resolve) => near.once("close", resolve));
    });
    await Promise.all(closed);
  }

  /** Holds back all that the other side says, on every connection, new ones too, until `release`. */
  hold(): void {
    if (this.#held) return;
    this.#held = true;
    for (const { near, far } of this.#pairs) far.unpipe(near);
  }

  release(): void {
    if (!this.#held) return;
    this.#held = false;
    for (const { near, far } of this.#pairs) far.pipe(near);
  }

  close(): void {
    this.#server.close();
    for (const { near } of this.#pairs) near.destroy();
  }

  #admit(near: Socket): void {
    const far = connect(this.#targets[this.#turn++ % this.#targets.length] ?? 0, "127.0.0.1");
    const pair = { near, far };
    this.#pairs.add(pair);
    for (const socket of [near, far]) {
      socket.on("error", () => undefined); // the other end is told by its own close
      socket.on("close", () => {
        this.#pairs.delete(pair);
        near.destroy();
        far.destroy();
      });
    }
    near.pipe(far);
    if (!this.#held) far.pipe(near);
  }
}
