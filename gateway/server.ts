import type { IncomingMessage, ServerResponse } from "node:http";
import type { Log } from "../adapters/telemetry/log.ts";
import type { RouteTable } from "../core/cacherule/routes.ts";
import type { Refusal } from "../core/gateway/access-errors.ts";
import { type ParsedCatalogQuery, parseCatalogRequest } from "../core/gateway/catalog.ts";
import { rulesNotLoaded, undeclared } from "../core/gateway/errors.ts";
import { parseRegistryRequest, type RepositoryRequest } from "../core/gateway/request.ts";
import type { Access } from "./access.ts";
import { type BackendCatalogs, serveCatalog } from "./catalog.ts";
import type { ClientLimits } from "./limits.ts";
import { type GatewayMetrics, NO_RULE, type RequestKind } from "./metrics.ts";
import type { BackendProxy, Outcome } from "./proxy.ts";
import type { ReferrersLists } from "./referrers.ts";
import { giveUpIdle, sendError, sendJson, taken } from "./respond.ts";
import { Turns } from "./turns.ts";

export interface GatewayOptions {
  /** The name of the CacheRegistry that is served. */
  readonly registry: string;
  /** The table of this moment; undefined before the rules are known. */
  readonly routes: () => RouteTable | undefined;
  readonly proxy: BackendProxy;
  readonly referrers: ReferrersLists;
  readonly catalogs: BackendCatalogs;
  /** The origin (scheme, host, port) of the proxy of an upstream host. */
  readonly originOf: (upstreamHost: string) => string;
  readonly access: Access;
  readonly limits: ClientLimits;
  readonly metrics: GatewayMetrics;
  readonly log: Log;
  /** How long a client may take nothing of its answer (default 75 s). */
  readonly clientIdleMs?: number;
}

interface Served extends Outcome {
  readonly rule: string;
  readonly kind: RequestKind;
  /** Who asked, where credentials were asked for. */
  readonly user?: string;
}

const SHOWN_LIMIT = 300;
const CLIENT_IDLE_MS = 75_000; // longer than a backend may stop, so that the log blames the right one
const CLIENT_GONE_STATUS = 499; // as nginx logs it: the client left before there was a status

/** The registry API of the cache, for `adapters/http/server.ts`: declared names only, each request counted and logged once. */
export function createGateway(options: GatewayOptions): (req: IncomingMessage, res: ServerResponse) => Promise<void> {
  const turns = new Turns();
  return async (req, res) => {
    if (!(await turns.of(req, res))) return;
    const begun = performance.now();
    const client = req.socket.remoteAddress; // not known any more when the client has gone
    options.metrics.inFlight.inc();
    giveUpIdle(res, options.clientIdleMs ?? CLIENT_IDLE_MS);
    try {
      const served = await serve(options, req, res);
      record(options, { req, res, client }, served, performance.now() - begun);
    } finally {
      options.metrics.inFlight.dec();
    }
  };
}

async function serve(options: GatewayOptions, req: IncomingMessage, res: ServerResponse): Promise<Served> {
  const { policy } = options.access;
  const entry = policy === undefined ? undefined : options.limits.enter(req.socket.remoteAddress, policy);
  if (entry === undefined) return await serveToEnd(options, req, res);
  if ("refusal" in entry) return refuse(res, entry.refusal, "limited");
  try {
    return await serveToEnd(options, req, res);
  } finally {
    entry.leave();
  }
}

/** An answer that its client is still taking holds memory, and so counts as long as that. */
async function serveToEnd(options: GatewayOptions, req: IncomingMessage, res: ServerResponse): Promise<Served> {
  const served = await serveAdmitted(options, req, res);
  return (await taken(res)) ? served : { problem: "CLIENT_GONE", ...served };
}

async function serveAdmitted(options: GatewayOptions, req: IncomingMessage, res: ServerResponse): Promise<Served> {
  const catalog = parseCatalogRequest(req.method ?? "", req.url ?? "");
  if (catalog !== undefined) return await serveList(options, catalog, req, res);
  const parsed = parseRegistryRequest(req.method ?? "", req.url ?? "");
  if (!parsed.ok) {
    sendError(res, parsed.error);
    return { rule: NO_RULE, kind: "invalid", bytes: 0 };
  }
  if (parsed.request.kind === "ping") return await servePing(options, req, res);
  return await serveRepository(options, parsed.request, req, res);
}

async function servePing({ access }: GatewayOptions, req: IncomingMessage, res: ServerResponse): Promise<Served> {
  const admission = await access.ping(req.headers.authorization);
  if (admission.kind === "refused") return refuse(res, admission.refusal, "ping");
  sendJson(res, 200, "{}");
  return { rule: NO_RULE, kind: "ping", bytes: 0, ...(admission.user !== undefined && { user: admission.user }) };
}

async function serveList(
  { registry, routes, access, catalogs, originOf }: GatewayOptions,
  catalog: ParsedCatalogQuery,
  req: IncomingMessage,
  res: ServerResponse,
): Promise<Served> {
  const listing = await access.listing(req.headers.authorization);
  if (listing.kind === "refused") return refuse(res, listing.refusal, "catalog");
  const { mayList } = listing;
  const outcome = await serveCatalog({ registry, table: routes(), catalogs, originOf, mayList }, catalog, res);
  return { rule: NO_RULE, kind: "catalog", ...outcome };
}

async function serveRepository(
  { registry, routes, proxy, referrers, access }: GatewayOptions,
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
  const { authorization } = req.headers;
  const { rule } = match.route;
  const admission = await access.content(match.upstream.host, authorization);
  if (admission.kind === "refused") return refuse(res, admission.refusal, request.kind, rule);
  const method = req.method === "HEAD" ? "HEAD" : "GET";
  const admitMarked = async (): Promise<Refusal | undefined> => {
    const marked = admission.user === undefined ? await access.marked(authorization) : admission;
    return marked.kind === "refused" ? marked.refusal : undefined;
  };
  const exchange = { method, headers: req.headers, match, admitMarked } as const;
  const outcome =
    request.kind === "referrers"
      ? await referrers.serve({ ...exchange, request }, res)
      : await proxy.serve({ ...exchange, request }, res);
  return { rule, kind: request.kind, ...(admission.user !== undefined && { user: admission.user }), ...outcome };
}

function refuse(res: ServerResponse, refusal: Refusal, kind: RequestKind, rule: string = NO_RULE): Served {
  sendError(res, refusal.error, refusal.headers);
  return { rule, kind, bytes: 0 };
}

interface Asked {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly client: string | undefined;
}

function record(options: GatewayOptions, { req, res, client }: Asked, served: Served, ms: number): void {
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
    client,
    ...(served.user !== undefined && { user: served.user }),
    ...(served.problem !== undefined && { problem: served.problem }),
  });
}
