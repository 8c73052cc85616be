import { isIP } from "node:net";
import { getCACertificates } from "node:tls";
import { LRUCache } from "lru-cache";
import { Agent, type Dispatcher } from "undici";
import { checkLiteral, farthestOf, literalOf, lookupWithin, type Nearness, nearnessOf } from "./addresses.ts";
import { RegistryError, type Target } from "./errors.ts";
import { failureOf } from "./failures.ts";

/** What a request is for, as metrics name it. */
export type Operation = "base" | "resolve" | "manifest" | "blob" | "referrers" | "tags" | "catalog" | "token";

/** How one HTTP request ended, as metrics name it: `challenge` is a 401, `refused` any other 4xx. */
export type RequestOutcome =
  | "ok"
  | "redirect"
  | "challenge"
  | "not_found"
  | "refused"
  | "throttled"
  | "failed"
  | "timeout"
  | "unreachable";

/** Told of every HTTP request to a registry or token service when it ends. */
export type ObserveRequest = (operation: Operation, outcome: RequestOutcome, seconds: number) => void;

export interface TransportOptions {
  /** More certificates to trust (PEM), authorities or those of servers themselves, beside the system's. */
  readonly ca?: string;
  /** `ca` is trusted in place of the system's. */
  readonly caAlone?: boolean;
  /** The name that servers' certificates must have, where it is another than the host that is asked. */
  readonly serverName?: string;
  readonly observe?: ObserveRequest;
  /** For one HTTP request, from the first packet to the last byte of the answer; 10 s if absent. */
  readonly attemptMs?: number;
}

export interface Outgoing {
  readonly operation: Operation;
  readonly target: Target;
  readonly method: "GET" | "HEAD";
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** Bytes of a successful body; more is RESPONSE_TOO_LARGE. */
  readonly limit: number;
  /** How near the address may be that is connected to. */
  readonly reach: Nearness;
  readonly signal: AbortSignal;
  /** Takes a successful body chunk by chunk in place of `Answer.body`. `attemptMs` is then the longest time without a chunk. */
  readonly sink?: Sink;
}

/** Called once for each answer, before its first chunk. */
export type Sink = () => (chunk: Buffer) => void;

/** An answer, read to its end. Of a body that is no success only the beginning is kept. */
export interface Answer {
  readonly status: number;
  readonly body: Buffer;
  header(name: string): string | undefined;
}

const ATTEMPT_MS = 10_000;
const CONNECT_MS = 5_000;
const ERROR_BODY_LIMIT = 16 * 1024;
const HEADER_LIMIT = 16 * 1024;
const HOSTS_REMEMBERED = 4_096;
const USER_AGENT = "entrepot";

type OnResolved = (hostname: string, addresses: readonly string[]) => void;

function createAgent(reach: Nearness, options: TransportOptions, onResolved: OnResolved): Agent {
  const { ca, caAlone, serverName } = options;
  const others = caAlone === true ? [] : getCACertificates("default");
  return new Agent({
    connect: {
      timeout: CONNECT_MS,
      lookup: lookupWithin(reach, onResolved),
      ...(ca !== undefined && { ca: [...others, ca], allowPartialTrustChain: true }),
      ...(serverName !== undefined && { servername: serverName }),
    },
    connections: 16, // per host: a registry is not to be flooded when many images arrive at once
    pipelining: 1,
    allowH2: false, // the limits below are HTTP/1.1's
    keepAliveTimeout: 30_000,
    maxHeaderSize: HEADER_LIMIT,
    headersTimeout: 0, // the attempt's own deadline covers headers and body
    bodyTimeout: 0,
  });
}

function outcomeOf(status: number): RequestOutcome {
  if (status < 300) return "ok";
  if (status < 400) return "redirect";
  if (status === 401) return "challenge";
  if (status === 404) return "not_found";
  if (status === 429) return "throttled";
  return status < 500 ? "refused" : "failed";
}

function headerOf(headers: Dispatcher.ResponseData["headers"], name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value.join(", ") : value;
}

/** Reads a body up to `limit` bytes; beyond, `overflow` decides: an error, or the beginning alone. The connection is given up then. */
async function readBody(body: Dispatcher.ResponseData["body"], limit: number, overflow: () => void): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > limit) {
      overflow(); // leaving the loop destroys the stream, and with it the connection
      return Buffer.concat(chunks);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}

/** Hands a body on up to `limit` bytes. */
async function streamBody(
  body: Dispatcher.ResponseData["body"],
  limit: number,
  overflow: () => void,
  take: (chunk: Buffer) => void,
): Promise<void> {
  let length = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > limit) return overflow();
    take(chunk);
  }
}

async function receive(out: Outgoing, response: Dispatcher.ResponseData, progress: () => void): Promise<Answer> {
  const { statusCode: status, headers, body } = response;
  const ok = status < 300;
  const tooLarge = (): never => {
    throw new RegistryError(
      "RESPONSE_TOO_LARGE",
      out.target,
      `${out.url.host} answered with more than ${out.limit} bytes; no ${out.operation} is that large`,
    );
  };
  const announced = Number(headerOf(headers, "content-length") ?? 0);
  if (ok && out.method === "GET" && announced > out.limit) {
    body.on("error", () => undefined).destroy();
    tooLarge();
  }
  if (ok && out.sink !== undefined) {
    const take = out.sink();
    await streamBody(body, out.limit, tooLarge, (chunk) => {
      progress();
      take(chunk);
    });
    return { status, body: Buffer.alloc(0), header: (name) => headerOf(headers, name) };
  }
  const content = await readBody(body, ok ? out.limit : ERROR_BODY_LIMIT, ok ? tooLarge : () => undefined);
  return { status, body: content, header: (name) => headerOf(headers, name) };
}

/**
 * HTTP with limits: one request, no redirect followed, nothing retried. Every answer is bounded in bytes (headers, body) and in time
 * (`attemptMs` and the caller's signal), connections are kept and reused per host, and no connection is made to an address out of
 * reach. Throws `RegistryError`.
 */
export class Transport {
  readonly #agents = new Map<Nearness, Agent>();
  readonly #options: TransportOptions;
  readonly #resolved = new LRUCache<string, Nearness>({ max: HOSTS_REMEMBERED });

  constructor(options: TransportOptions) {
    this.#options = options;
  }

  /**
   * How near a host is, by what its name resolved to when it was connected to; a host that was not is public, as one that has ever
   * been is. So a registry cannot make itself look near, to be allowed to send us there.
   */
  nearness(url: URL): Nearness {
    const host = literalOf(url);
    return isIP(host) === 0 ? (this.#resolved.get(host) ?? "public") : nearnessOf(host);
  }

  async send(out: Outgoing): Promise<Answer> {
    const started = performance.now();
    const observe = (outcome: RequestOutcome): void =>
      this.#options.observe?.(out.operation, outcome, (performance.now() - started) / 1000);
    const attemptMs = this.#options.attemptMs ?? ATTEMPT_MS;
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), attemptMs);
    const signal = AbortSignal.any([out.signal, late.signal]);
    try {
      checkLiteral(out.url, out.reach);
      const answer = await receive(out, await this.#request(out, signal), () => timer.refresh());
      observe(outcomeOf(answer.status));
      return answer;
    } catch (thrown) {
      const failure = failureOf(out.target, out.url.host, thrown, signal.aborted);
      observe(
        failure.code === "REGISTRY_TIMEOUT"
          ? "timeout"
          : failure.code === "REGISTRY_UNREACHABLE"
            ? "unreachable"
            : "failed",
      );
      throw failure;
    } finally {
      clearTimeout(timer);
    }
  }

  #request({ url, method, headers, reach }: Outgoing, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    return this.#agent(reach).request({
      origin: url.origin,
      path: `${url.pathname}${url.search}`,
      method,
      headers: { "user-agent": USER_AGENT, ...headers },
      signal,
    });
  }

  #agent(reach: Nearness): Agent {
    const known = this.#agents.get(reach);
    if (known !== undefined) return known;
    const agent = createAgent(reach, this.#options, (host, addresses) => {
      if (this.#resolved.get(host) !== "public") this.#resolved.set(host, farthestOf(addresses));
    });
    this.#agents.set(reach, agent);
    return agent;
  }

  /** Ends the connections; requests under way fail. */
  async close(): Promise<void> {
    await Promise.all([...this.#agents.values()].map((agent) => agent.destroy()));
  }
}
