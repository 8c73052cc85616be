import { Agent, errors } from "undici";
import { DomainError } from "../core/errors.ts";
import type { HeaderMap } from "../core/gateway/headers.ts";

export type BackendErrorCode = "BACKEND_UNREACHABLE" | "BACKEND_TIMEOUT" | "BACKEND_MALFORMED" | "CLIENT_GONE" | "BUSY";

/** A request to a backend that got no usable answer. The message is one clause, for the middle of a sentence. */
export class BackendError extends DomainError<BackendErrorCode> {}

/** The limits of one exchange with a backend, in milliseconds and bytes. */
export interface BackendLimits {
  readonly connectMs: number;
  /** From sending the request to the end of the answer's headers. */
  readonly headersMs: number;
  /** Between two pieces of a body, while somebody reads it. */
  readonly idleMs: number;
  readonly headerBytes: number;
  /** Connections to one backend; further requests wait inside `headersMs`. */
  readonly connections: number;
}

/**
 * A dead upstream costs CNCF distribution the 30 s of Go's dialer before it looks into its own storage, twice where it must ask for the
 * challenge first: less time for the headers would make what is cached unreachable during an outage.
 */
export const BACKEND_LIMITS: BackendLimits = {
  connectMs: 5_000,
  headersMs: 90_000,
  idleMs: 60_000,
  headerBytes: 16 * 1024,
  connections: 256,
};

export interface BackendRequest {
  /** Scheme, host and port. */
  readonly origin: string;
  readonly method: "GET" | "HEAD";
  readonly path: string;
  readonly headers: Record<string, string>;
  /** Aborts the exchange at any point, until the body's end. */
  readonly signal: AbortSignal;
  /** Overrides the limit of the same name. */
  readonly headersMs?: number;
}

type Answer = Awaited<ReturnType<Agent["request"]>>;

export interface BackendAnswer {
  readonly status: number;
  readonly headers: HeaderMap;
  /** Must be read, dumped or destroyed. */
  readonly body: Answer["body"];
}

function explain(thrown: unknown): { code: BackendErrorCode; why: string } {
  if (thrown instanceof errors.HeadersOverflowError)
    return { code: "BACKEND_MALFORMED", why: "its backend sends too many headers" };
  if (thrown instanceof errors.HTTPParserError)
    return { code: "BACKEND_MALFORMED", why: "its backend does not speak HTTP" };
  if (thrown instanceof errors.ConnectTimeoutError)
    return { code: "BACKEND_TIMEOUT", why: "its backend does not accept connections" };
  if (thrown instanceof errors.BodyTimeoutError)
    return { code: "BACKEND_TIMEOUT", why: "its backend stopped in the middle of the answer" };
  const code = thrown instanceof Error && "code" in thrown ? thrown.code : undefined;
  if (code === "ERR_STREAM_PREMATURE_CLOSE") return { code: "CLIENT_GONE", why: "the client went away" };
  if (code === "ENOTFOUND" || code === "EAI_AGAIN")
    return { code: "BACKEND_UNREACHABLE", why: "the name of its backend does not resolve" };
  if (code === "ECONNREFUSED") return { code: "BACKEND_UNREACHABLE", why: "its backend refuses connections" };
  return { code: "BACKEND_UNREACHABLE", why: "the connection to its backend broke" };
}

/** What undici and node say when the other side has closed the connection. */
const CLOSED: ReadonlySet<unknown> = new Set(["UND_ERR_SOCKET", "ECONNRESET", "EPIPE"]);

function isClosed(thrown: unknown): boolean {
  return thrown instanceof Error && "code" in thrown && CLOSED.has(thrown.code);
}

/** Keep-alive connections to the backends. Follows no redirect, sends no credentials. */
export class Backends {
  readonly #agent: Agent;
  readonly #limits: BackendLimits;

  constructor(limits: BackendLimits = BACKEND_LIMITS) {
    this.#limits = limits;
    this.#agent = new Agent({
      connect: { timeout: limits.connectMs },
      connections: limits.connections,
      pipelining: 1,
      maxHeaderSize: limits.headerBytes,
      headersTimeout: 0, // ours, below, also counts the time in the queue and headers that trickle
      bodyTimeout: limits.idleMs,
    });
  }

  /** Sends a request and waits for the answer's headers. Throws `BackendError`; the body's errors may be `BackendError`s, too. */
  async open(request: BackendRequest): Promise<BackendAnswer> {
    const { headersMs = this.#limits.headersMs, signal: client, ...rest } = request;
    const exchange = new AbortController();
    const late = new BackendError(
      "BACKEND_TIMEOUT",
      `its backend did not answer within ${Math.ceil(headersMs / 1000)} s`,
    );
    const timer = setTimeout(() => exchange.abort(late), headersMs);
    const onGone = (): void => exchange.abort(new BackendError("CLIENT_GONE", "the client went away"));
    if (client.aborted) onGone();
    client.addEventListener("abort", onGone, { once: true });
    try {
      const { statusCode, headers, body } = await this.#request({ ...rest, signal: exchange.signal });
      body.once("close", () => client.removeEventListener("abort", onGone));
      return { status: statusCode, headers, body };
    } catch (thrown) {
      client.removeEventListener("abort", onGone);
      throw asBackendError(thrown);
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * A backend may close an idle connection at the moment at which it is used again: what comes of that is asked once more, as an idempotent
   * method may be (RFC 9110, 9.2.2). CNCF distribution closes one after a blob whose content was another.
   */
  async #request(request: Omit<BackendRequest, "headersMs">): Promise<Answer> {
    try {
      return await this.#agent.request(request);
    } catch (thrown) {
      if (!isClosed(thrown)) throw thrown;
      return await this.#agent.request(request);
    }
  }

  /** Waits for the exchanges under way, then closes the connections. */
  async close(): Promise<void> {
    await this.#agent.close();
  }
}

/** Whatever an exchange or a body threw, as a `BackendError`. */
export function asBackendError(thrown: unknown): BackendError {
  if (thrown instanceof BackendError) return thrown;
  const { code, why } = explain(thrown);
  return new BackendError(code, why, { cause: thrown });
}
