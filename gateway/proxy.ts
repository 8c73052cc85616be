import type { ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import type { RouteMatch } from "../core/cacherule/routes.ts";
import type { Refusal } from "../core/gateway/access-errors.ts";
import { judgeAnswer } from "../core/gateway/answer.ts";
import { blobHeadRequest, blobHeadResponse } from "../core/gateway/blob-head.ts";
import {
  backendFailed,
  backendTimedOut,
  type ErrorScope,
  gatewayBusy,
  type OciError,
  type Wanted,
} from "../core/gateway/errors.ts";
import { type HeaderMap, headerOf, requestHeaders, responseHeaders } from "../core/gateway/headers.ts";
import { renameTagsList, rewriteNextLink, startOf } from "../core/gateway/pages.ts";
import { formatRegistryPath, type RepositoryRequest } from "../core/gateway/request.ts";
import { PRIVATE_HEADER } from "../core/gatewayaccess/names.ts";
import { asBackendError, type BackendAnswer, BackendError, type BackendRequest, type Backends } from "./backend.ts";
import { Meter, tooLong } from "./body.ts";
import { JSON_HEADERS, sendError } from "./respond.ts";
import { hasDigest, isCheckable, OtherContent, Verified } from "./verified.ts";
import { type Whole, WholeAnswers } from "./whole.ts";

/** What the proxies answer. */
export type ProxiedRequest = Exclude<RepositoryRequest, { kind: "referrers" }>;

/** A declared request: what the client asks, and what the rules make of it. */
export interface Exchange<R extends RepositoryRequest = ProxiedRequest> {
  readonly method: "GET" | "HEAD";
  readonly request: R;
  readonly headers: HeaderMap;
  readonly match: RouteMatch;
  /** Asked before content goes out that the backend marks as read with credentials: why this client may not have it, if so. */
  readonly admitMarked: () => Promise<Refusal | undefined>;
}

/** What came of an exchange, for the access log and the metrics. */
export interface Outcome {
  /** Bytes of content sent. */
  readonly bytes: number;
  /** Why it failed on our side of the answer's status, as a code. */
  readonly problem?: string;
}

export interface ProxyLimits {
  /** Bytes of a manifest. The specification asks registries for 4 MiB at least. */
  readonly manifestBytes: number;
  /** Bytes of a tags list. */
  readonly pageBytes: number;
  /** From an answer's headers to its end, for everything but blobs, which take as long as they move at all. */
  readonly bodyMs: number;
}

const MIB = 1024 * 1024;

export const PROXY_LIMITS: ProxyLimits = {
  manifestBytes: 4 * MIB,
  pageBytes: 4 * MIB,
  bodyMs: 60_000,
};

export interface ProxyOptions {
  readonly backends: Backends;
  /** The origin (scheme, host, port) of the proxy of an upstream host. */
  readonly originOf: (upstreamHost: string) => string;
  readonly limits?: ProxyLimits;
}

/** Manifests that are held take 80 MiB at most, lists 32 MiB: pulling does not wait for who lists. */
const MANIFEST_ROOM = { smallTogether: 16 * MIB, largeTogether: 64 * MIB } as const;
const LIST_ROOM = { smallTogether: 4 * MIB, largeTogether: 28 * MIB } as const;

const NOTHING: Outcome = { bytes: 0 };

/** Fetches what a declared request names from the backend of its upstream and sends it to the client: blobs as they come, the rest whole. */
export class BackendProxy {
  readonly #options: ProxyOptions;
  readonly #limits: ProxyLimits;
  readonly #manifests: WholeAnswers;
  readonly #lists: WholeAnswers;

  constructor(options: ProxyOptions) {
    this.#options = options;
    this.#limits = options.limits ?? PROXY_LIMITS;
    const { manifestBytes, pageBytes, bodyMs } = this.#limits;
    this.#manifests = new WholeAnswers({ what: "manifests", bytes: manifestBytes, bodyMs, ...MANIFEST_ROOM });
    this.#lists = new WholeAnswers({ what: "lists", bytes: pageBytes, bodyMs, ...LIST_ROOM });
  }

  /** Serves one request to its end. Never rejects: what fails is told to the client as far as one still can. */
  async serve(exchange: Exchange, res: ServerResponse): Promise<Outcome> {
    const gone = new AbortController();
    res.once("close", () => gone.abort());
    if (res.destroyed) gone.abort();
    try {
      return await this.#exchange(exchange, res, gone.signal);
    } catch (thrown) {
      const error = asBackendError(thrown);
      if (error.code !== "CLIENT_GONE") sendError(res, asOciError(error, exchange), later(error));
      return { bytes: 0, problem: error.code };
    }
  }

  /**
   * While a tag moves upstream CNCF distribution names the digest of one moment and sends the content of the next, since it asks for the
   * tag twice (proxytagservice.go, proxymanifeststore.go). So what came of two moments is asked for once more.
   */
  async #exchange(exchange: Exchange, res: ServerResponse, signal: AbortSignal): Promise<Outcome> {
    const relay = async (): Promise<Outcome> => await this.#relay(exchange, await this.#ask(exchange, signal), res);
    try {
      return await relay();
    } catch (thrown) {
      if (!(thrown instanceof OtherContent) || digestAsked(exchange) !== undefined) throw thrown;
      return await relay();
    }
  }

  async #ask(exchange: Exchange, signal: AbortSignal): Promise<BackendAnswer> {
    const { request, match } = exchange;
    return await this.#options.backends.open({
      origin: this.#options.originOf(match.upstream.host),
      path: formatRegistryPath(request, match.upstream.repository),
      ...backendRequest(exchange),
      signal,
    });
  }

  async #relay(exchange: Exchange, answer: BackendAnswer, res: ServerResponse): Promise<Outcome> {
    const refusal = PRIVATE_HEADER in answer.headers ? await exchange.admitMarked() : undefined;
    if (refusal !== undefined) {
      discard(answer);
      sendError(res, refusal.error, refusal.headers);
      return NOTHING;
    }
    const verdict = judgeAnswer(answer.status, answer.headers, wanted(exchange), errorScope(exchange));
    if (verdict.kind === "error") {
      discard(answer);
      const retryAfter = headerOf(answer.headers, "retry-after");
      const throttled = verdict.error.status === 429 && retryAfter !== undefined;
      sendError(res, verdict.error, throttled ? { "retry-after": retryAfter } : {});
      return verdict.error.status >= 500 ? { bytes: 0, problem: "BACKEND_ANSWER" } : NOTHING;
    }
    if (verdict.kind === "headers") {
      discard(answer);
      const { "content-length": _length, "content-type": _type, ...headers } = responseHeaders(answer.headers);
      res.writeHead(answer.status, answer.status === 304 ? headers : { ...headers, "content-length": "0" }).end();
      return NOTHING;
    }
    return exchange.request.kind === "tags"
      ? await this.#sendList(exchange, answer, res)
      : await this.#sendContent(exchange, answer, res);
  }

  async #sendContent(exchange: Exchange, answer: BackendAnswer, res: ServerResponse): Promise<Outcome> {
    const isBlob = exchange.request.kind === "blob";
    const { manifestBytes } = this.#limits;
    if (!isBlob && lengthOf(answer) > manifestBytes) {
      discard(answer);
      throw tooLong(manifestBytes);
    }
    if (exchange.method === "HEAD") {
      discard(answer);
      const headers = isBlob ? blobHeadResponse(answer.status, answer.headers) : responseHeaders(answer.headers);
      if (headers === undefined)
        throw new BackendError("BACKEND_MALFORMED", "its backend does not say how long the blob is");
      res.writeHead(200, headers).end();
      return NOTHING;
    }
    const digest = digestToCheck(exchange, answer);
    return isBlob
      ? await this.#stream(answer, digest, res)
      : { bytes: await this.#manifests.send(answer, (content) => manifestOf(answer, content, digest), res) };
  }

  async #stream(answer: BackendAnswer, digest: string | undefined, res: ServerResponse): Promise<Outcome> {
    res.writeHead(answer.status, responseHeaders(answer.headers));
    const meter = new Meter();
    const verified = digest === undefined ? [] : [new Verified(digest, lengthOf(answer))];
    try {
      await pipeline([answer.body, meter, ...verified, res]);
      return { bytes: meter.bytes };
    } catch (thrown) {
      return { bytes: meter.bytes, problem: asBackendError(thrown).code }; // the pipeline has cut the connection
    }
  }

  async #sendList(exchange: Exchange, answer: BackendAnswer, res: ServerResponse): Promise<Outcome> {
    const link = headerOf(answer.headers, "link");
    const bytes = await this.#lists.send(answer, (content) => listOf(exchange, content, link), res);
    return { bytes: exchange.method === "HEAD" ? 0 : bytes };
  }
}

/** How a backend is asked what a client asks. Distribution has no HEAD for lists, and for blobs none that is worth it. */
function backendRequest({ method, request, headers }: Exchange): Pick<BackendRequest, "method" | "headers"> {
  if (request.kind === "tags") return { method: "GET", headers: requestHeaders({}, method) };
  if (request.kind === "blob" && method === "HEAD") return { method: "GET", headers: blobHeadRequest(headers) };
  return { method, headers: requestHeaders(headers, method) };
}

function manifestOf({ headers }: BackendAnswer, content: Buffer, digest: string | undefined): Whole {
  if (digest !== undefined && !hasDigest(content, digest)) throw new OtherContent();
  return { content, headers: responseHeaders(headers) };
}

/** A tags list under the name that the client knows, and `link` to its next page, likewise. Throws `BackendError` where one of them is none. */
function listOf({ request, match }: Exchange, content: Buffer, link: string | undefined): Whole {
  const { repository } = request;
  const page = request.kind === "tags" ? renameTagsList(content.toString(), repository, startOf(request)) : undefined;
  const sent = { ...request, repository: match.upstream.repository };
  const next = link === undefined ? undefined : rewriteNextLink(link, sent, repository);
  if (page === undefined || (link !== undefined && next === undefined))
    throw new BackendError("BACKEND_MALFORMED", "its backend does not answer as a registry does");
  return { content: Buffer.from(page), headers: { ...JSON_HEADERS, ...(next !== undefined && { link: next }) } };
}

/** Reads a short rest, so that the connection can serve again; a long one costs the connection. */
function discard(answer: BackendAnswer): void {
  answer.body.on("error", () => undefined);
  void answer.body.dump({ limit: 16 * 1024 }).catch(() => undefined);
}

function wanted({ request }: Exchange): Wanted {
  return request.kind === "tags" ? { kind: "tags" } : { kind: request.kind, reference: request.reference };
}

/** The bytes that an answer announces; 0 when it does not. */
function lengthOf({ headers }: BackendAnswer): number {
  return Number(headerOf(headers, "content-length") ?? 0);
}

function digestAsked({ request }: Exchange): string | undefined {
  return "reference" in request && request.reference.includes(":") ? request.reference : undefined;
}

/** What whole content is checked against: the digest that it was asked for by, or that the backend names. Nothing for a part of a blob. */
function digestToCheck(exchange: Exchange, { status, headers }: BackendAnswer): string | undefined {
  const digest = digestAsked(exchange) ?? headerOf(headers, "docker-content-digest");
  return status === 200 && digest !== undefined && isCheckable(digest) ? digest : undefined;
}

/** What an exchange is about, for messages. */
export function errorScope({ match }: { readonly match: RouteMatch }): ErrorScope {
  const { rule, upstreamProblem } = match.route;
  const source = `${match.upstream.host}/${match.upstream.repository}`;
  return { rule, source, ...(upstreamProblem !== undefined && { upstreamProblem }) };
}

function asOciError(error: BackendError, exchange: Exchange): OciError {
  const make = error.code === "BACKEND_TIMEOUT" ? backendTimedOut : error.code === "BUSY" ? gatewayBusy : backendFailed;
  return make(error.message, wanted(exchange), errorScope(exchange));
}

function later({ code }: BackendError): Readonly<Record<string, string>> {
  return code === "BUSY" ? { "retry-after": "1" } : {};
}
