import type { IncomingMessage, ServerResponse } from "node:http";
import type { Log } from "../adapters/telemetry/log.ts";
import type { RouteTable } from "../core/cacherule/routes.ts";
import { rulesNotLoaded, undeclared } from "../core/gateway/errors.ts";
import { parseRegistryRequest, type RepositoryRequest } from "../core/gateway/request.ts";
import { type GatewayMetrics, NO_RULE, type RequestKind } from "./metrics.ts";
import type { BackendProxy, Outcome } from "./proxy.ts";
import { sendError, sendJson } from "./respond.ts";

export interface GatewayOptions {
  /** The name of the CacheRegistry that is served. */
  readonly registry: string;
  /** The table of this moment; undefined before the rules are known. */
  readonly routes: () => RouteTable | undefined;
  readonly proxy: BackendProxy;
  readonly metrics: GatewayMetrics;
  readonly log: Log;
}

interface Served extends Outcome {
  readonly rule: string;
  readonly kind: RequestKind;
}

const SHOWN_LIMIT = 300;
const CLIENT_GONE_STATUS = 499; // as nginx logs it: the client left before there was a status

/** The registry API of the cache, for `adapters/http/server.ts`: declared names only, each request counted and logged once. */
export function createGateway(options: GatewayOptions): (req: IncomingMessage, res: ServerResponse) => Promise<void> {
  return async (req, res) => {
    const begun = performance.now();
    options.metrics.inFlight.inc();
    try {
      const served = await serve(options, req, res);
      record(options, req, res, served, performance.now() - begun);
    } finally {
      options.metrics.inFlight.dec();
    }
  };
}

async function serve(options: GatewayOptions, req: IncomingMessage, res: ServerResponse): Promise<Served> {
  const parsed = parseRegistryRequest(req.method ?? "", req.url ?? "");
  if (!parsed.ok) {
    sendError(res, parsed.error);
    return { rule: NO_RULE, kind: "invalid", bytes: 0 };
  }
  if (parsed.request.kind === "ping") {
    sendJson(res, 200, "{}");
    return { rule: NO_RULE, kind: "ping", bytes: 0 };
  }
  return await serveRepository(options, parsed.request, req, res);
}

async function serveRepository(
  { registry, routes, proxy }: GatewayOptions,
  request: RepositoryRequest,
  req: IncomingMessage,
  res: ServerResponse,
): Promise<Served> {
  const table = routes();
  const match = table?.match(request.repository);
  if (match === undefined) {
    sendError(res, table === undefined ? rulesNotLoaded(registry) : undeclared(request.repository, registry));
    return { rule: NO_RULE, kind: request.kind, bytes: 0 };
  }
  const method = req.method === "HEAD" ? "HEAD" : "GET";
  const outcome = await proxy.serve({ method, request, headers: req.headers, match }, res);
  return { rule: match.route.rule, kind: request.kind, ...outcome };
}

function record(options: GatewayOptions, req: IncomingMessage, res: ServerResponse, served: Served, ms: number): void {
  const status = res.headersSent ? res.statusCode : CLIENT_GONE_STATUS;
  options.metrics.observe(served.rule, served.kind, status, served.bytes, ms / 1000);
  if (served.problem !== undefined) options.metrics.problems.inc({ problem: served.problem });
  options.log.info("request", {
    method: req.method,
    target: (req.url ?? "").slice(0, SHOWN_LIMIT),
    kind: served.kind,
    rule: served.rule,
    status,
    bytes: served.bytes,
    ms: Math.round(ms),
    client: req.socket.remoteAddress,
    ...(served.problem !== undefined && { problem: served.problem }),
  });
}
