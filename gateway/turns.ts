import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";

/** Requests of one connection that wait behind the one that is answered. Container runtimes and browsers have none. */
const PIPELINED = 16;

/**
 * Requests of one connection are served one after the other, each once the answer before it has been taken. A client may send more without
 * waiting (RFC 9112, 9.3.2), and one that reads nothing would otherwise have an answer held for each.
 */
export class Turns {
  readonly #waiting = new WeakMap<Socket, number>();

  /** Resolves to true when the request may be served, to false when its connection has gone, or goes because too many wait on it. */
  async of(req: IncomingMessage, res: ServerResponse): Promise<boolean> {
    if (res.socket !== null) return true;
    const connection = req.socket;
    const waiting = this.#waiting.get(connection) ?? 0;
    if (waiting >= PIPELINED) {
      connection.destroy();
      return false;
    }
    this.#waiting.set(connection, waiting + 1);
    const comes = await new Promise<boolean>((resolve) => {
      res.once("socket", () => resolve(true));
      res.once("close", () => resolve(false));
    });
    this.#waiting.set(connection, (this.#waiting.get(connection) ?? 1) - 1);
    return comes;
  }
}
