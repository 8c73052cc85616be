import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { freePort } from "../../../hack/testcluster/controlplane.ts";

/** An HTTP server of the test on a free port (or `port`) of the loopback interface. */
export interface LoopbackServer {
  /** `http://127.0.0.1:<port>`. */
  readonly origin: string;
  stop(): Promise<void>;
}

export interface Answer {
  readonly status?: number;
  /** `application/json` unless `headers` say otherwise. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string | Buffer;
}

/** Answers every request with what `answer` gives for its method, path and body: 404 for undefined, 500 where it throws. */
export async function serveLoopback(
  answer: (method: string, path: string, body: Buffer) => Answer | undefined,
  port?: number,
): Promise<LoopbackServer> {
  const own = port ?? (await freePort()); // one that is not given to outgoing connections, so that another server may take it over
  const server = createServer((request, response) => {
    void judge(request, answer).then(({ status, headers, body }) =>
      response.writeHead(status ?? 200, { "content-type": "application/json", ...headers }).end(body),
    );
  });
  await new Promise<void>((ready, failed) => {
    server.once("error", failed).listen(own, "127.0.0.1", ready);
  });
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: () => closed(server),
  };
}

async function judge(
  request: IncomingMessage,
  answer: (method: string, path: string, body: Buffer) => Answer | undefined,
): Promise<Answer> {
  try {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    return answer(request.method ?? "", request.url ?? "", Buffer.concat(parts)) ?? { status: 404, body: "{}" };
  } catch (thrown) {
    return { status: 500, headers: { "content-type": "text/plain" }, body: String(thrown) };
  }
}

function closed(server: Server): Promise<void> {
  return new Promise((done) => {
    server.close(() => done());
    server.closeAllConnections();
  });
}
