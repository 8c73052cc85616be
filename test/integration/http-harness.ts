import { type Agent, request as httpRequest, type IncomingMessage } from "node:http";
import { startDeadline } from "../../adapters/deadline.ts";
import { readBody } from "../../adapters/http/body.ts";
import { type Handler, type RunningServer, type ServerOptions, startServer } from "../../adapters/http/server.ts";
import { silentLog } from "../../adapters/telemetry/log.ts";

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

interface Ask {
  readonly port: number;
  readonly path?: string;
  readonly method?: string;
  readonly body?: string;
  readonly agent?: Agent;
}

/** One request, to its end; rejects when the connection breaks. */
export async function ask({ port, path = "/", method = "GET", body, agent }: Ask): Promise<Answer> {
  const options = { host: "127.0.0.1", port, path, method, ...(agent === undefined ? {} : { agent }) };
  return await new Promise((resolve, reject) => {
    const request = httpRequest(options, (response) => {
      response.setEncoding("utf8");
      let text = "";
      response.on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }));
    });
    request.on("error", reject);
    request.end(body);
  });
}
const servers: RunningServer[] = [];

/** A server on a port of its own, until `closeAll`. */
export async function serve(handler: Handler, options: Partial<ServerOptions> = {}): Promise<RunningServer> {
  const server = await startServer({ handler, port: 0, host: "127.0.0.1", log: silentLog, ...options });
  servers.push(server);
  return server;
}

/** Closes what a test served: to be called after each. */
export async function closeAll(): Promise<void> {
  await Promise.all(servers.splice(0).map((server) => server.close()));
}

/** Gives back a body of at most 1,000 bytes that comes within half a second. */
export const echo: Handler = async (request, response) => {
  using deadline = startDeadline(500);
  response.end(await readBody(request, 1000, deadline.signal));
};
