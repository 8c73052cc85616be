import { once } from "node:events";
import { get, type IncomingMessage } from "node:http";
import { createServer, type Server, type Socket } from "node:net";
import type { Cleanup } from "./gateway-harness.ts";

/** A FAKE backend: a TCP server that answers each connection as the test says. No registry behaves so; a broken or hijacked one may. */
export class FakeBackend {
  readonly #server: Server;
  readonly sockets = new Set<Socket>();
  answer: (socket: Socket, request: string) => void = (socket) => socket.destroy();

  constructor(cleanup: Cleanup) {
    this.#server = createServer((socket) => {
      this.sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => this.sockets.delete(socket));
      let head = "";
      socket.on("data", (chunk: Buffer) => {
        head += chunk.toString("latin1");
        if (!head.includes("\r\n\r\n")) return;
        const request = head;
        head = "";
        this.answer(socket, request);
      });
    });
    cleanup.add(() => {
      for (const socket of this.sockets) socket.destroy();
      this.#server.close();
    });
  }

  async listen(): Promise<string> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
  }
}

export function head(status: number, headers: Record<string, string | number>): string {
  return `HTTP/1.1 ${status} X\r\n${Object.entries(headers)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join("")}\r\n`;
}

/** Writes `first`, then `chunk` again and again, as fast as it is taken. */
export function pour(socket: Socket, first: string, chunk: string | Buffer): void {
  socket.write(first);
  const more = (): void => {
    while (!socket.destroyed && socket.write(chunk));
    if (!socket.destroyed) socket.once("drain", more);
  };
  more();
}

/** Asks with node's own client, which shows how an answer ends: "whole", or "cut". */
export async function fetchRaw(
  url: string,
  onData?: (answer: IncomingMessage) => void,
): Promise<{ status: number; bytes: number; end: "whole" | "cut" }> {
  return await new Promise((resolve, reject) => {
    get(url, { agent: false }, (answer) => {
      let bytes = 0;
      answer.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
      });
      answer.on("error", () => undefined);
      answer.on("close", () =>
        resolve({ status: answer.statusCode ?? 0, bytes, end: answer.complete ? "whole" : "cut" }),
      );
      onData?.(answer);
    }).on("error", reject);
  });
}
