import type { IncomingMessage, ServerResponse } from "node:http";
import type { Registry } from "prom-client";
import { messageOf } from "../../core/errors.ts";
import type { Log } from "../telemetry/log.ts";
import { type RunningServer, startServer } from "./server.ts";

/** One condition of being alive or ready: undefined when it holds, else the reason, in words for whoever reads the probe's answer. */
export type Check = () => string | undefined;

export interface StatusOptions {
  readonly port: number;
  readonly host?: string;
  readonly registry: Registry;
  readonly log: Log;
  /** By name; all must hold for /readyz to answer 200. Read at every request: add to the map while starting. */
  readonly ready: ReadonlyMap<string, Check>;
  /** By name; one that fails makes the kubelet restart the process. None by default. */
  readonly live?: ReadonlyMap<string, Check>;
  /** JSON pages by path, such as `/-/rules`. */
  readonly pages?: ReadonlyMap<string, () => unknown>;
}

/** Serves probes, metrics and status pages: /livez, /readyz, /metrics and `pages`. It carries no secret and needs no TLS. */
export async function startStatusServer(options: StatusOptions): Promise<RunningServer> {
  return await startServer({
    port: options.port,
    ...(options.host === undefined ? {} : { host: options.host }),
    log: options.log,
    handler: (request, response) => answer(options, request, response),
  });
}

async function answer(options: StatusOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = (request.url ?? "/").split("?", 1)[0] ?? "/";
  if (request.method !== "GET" && request.method !== "HEAD")
    return send(response, 405, TEXT, "only GET\n", { Allow: "GET, HEAD" });
  const page = options.pages?.get(path);
  if (page !== undefined) return send(response, 200, "application/json", `${JSON.stringify(await page())}\n`);
  switch (path) {
    case "/livez":
      return probe(response, "livez", options.live ?? new Map());
    case "/readyz":
      return probe(response, "readyz", options.ready);
    case "/metrics":
      return send(response, 200, options.registry.contentType, await options.registry.metrics());
    default:
      return send(response, 404, TEXT, "not found\n");
  }
}

const TEXT = "text/plain; charset=utf-8";

function send(
  response: ServerResponse,
  status: number,
  type: string,
  body: string,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { ...headers, "Content-Type": type, "Content-Length": Buffer.byteLength(body) });
  response.end(body);
}

// The form of the API server's own /readyz, which people know how to read.
function probe(response: ServerResponse, name: string, checks: ReadonlyMap<string, Check>): void {
  const results = [...checks].map(([check, run]) => ({ check, reason: outcome(run) }));
  const failed = results.some(({ reason }) => reason !== undefined);
  const lines = results.map(({ check, reason }) =>
    reason === undefined ? `[+]${check} ok` : `[-]${check} failed: ${reason}`,
  );
  send(
    response,
    failed ? 503 : 200,
    TEXT,
    `${[...lines, `${name} check ${failed ? "failed" : "passed"}`].join("\n")}\n`,
  );
}

function outcome(run: Check): string | undefined {
  try {
    return run();
  } catch (thrown) {
    return `the check itself failed: ${messageOf(thrown)}`;
  }
}
