import { type Dispatcher, errors } from "undici";
import { type Clock, systemClock } from "../clock.ts";
import { abortable, type Deadline, startDeadline } from "../deadline.ts";
import type { KubeAccess } from "./access.ts";
import { errorFromStatus, KubeError } from "./errors.ts";
import type { KubeMetrics } from "./metrics.ts";
import { type Session, Sessions } from "./session.ts";

/** One HTTP exchange with the API server. */
export interface Call {
  /** What is being done, for messages: `get Pod "a/b"`. */
  readonly subject: string;
  readonly verb: string; // metric label: get, list, watch, …
  readonly resource: string; // metric label: the plural
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly accept?: string;
  readonly contentType?: string;
  readonly body?: string;
  readonly maxBytes: number;
  readonly deadlineMs: number;
  readonly signal?: AbortSignal;
}

export interface TransportOptions {
  readonly userAgent?: string;
  readonly metrics?: KubeMetrics;
  /** Milliseconds after which a silent watch is taken for dead (default 150 s: the API server sends a bookmark every minute). */
  readonly watchSilenceMs?: number;
  readonly clock?: Clock;
}

/** An answer that goes on and on. */
export interface OpenStream extends Disposable {
  readonly chunks: AsyncIterable<Buffer>;
}

type Response = Dispatcher.ResponseData;

const ERROR_BODY_BYTES = 64 * 1024; // a Status; anything longer is not quoted anyway
const WATCH_SILENCE_MS = 150_000;
const HEADERS_TIMEOUT_MS = 30_000;
const THROTTLE_RETRIES = 2;
const MAX_RETRY_AFTER_MS = 5_000;

// A kept connection that the server had closed. Whether it has seen the request is unknown, so only reads are repeated,
const BROKEN: ReadonlySet<string | undefined> = new Set(["ECONNRESET", "EPIPE", "UND_ERR_SOCKET"]);
// or everything when the connections were being replaced after a rotation, because then nothing was sent.
const UNSENT: ReadonlySet<string | undefined> = new Set(["UND_ERR_CLOSED", "UND_ERR_DESTROYED"]);

function mayRepeat(call: Call, thrown: unknown): boolean {
  const code = codeOf(thrown);
  return UNSENT.has(code) || (call.method === "GET" && BROKEN.has(code));
}

function codeOf(thrown: unknown): string | undefined {
  return thrown instanceof Error && "code" in thrown && typeof thrown.code === "string" ? thrown.code : undefined;
}

function failure(call: Call, deadline: Deadline, thrown: unknown): KubeError {
  if (thrown instanceof KubeError) return thrown;
  if (deadline.expired)
    return new KubeError("TIMEOUT", `${call.subject}: no complete answer within ${call.deadlineMs} ms`, {
      cause: thrown,
    });
  if (call.signal?.aborted === true)
    return new KubeError("TIMEOUT", `${call.subject}: given up by the caller`, { cause: thrown });
  if (thrown instanceof errors.HeadersTimeoutError || thrown instanceof errors.BodyTimeoutError) {
    return new KubeError("TIMEOUT", `${call.subject}: the API server fell silent`, { cause: thrown });
  }
  const code = codeOf(thrown);
  return new KubeError(
    "UNAVAILABLE",
    `${call.subject}: the API server cannot be reached${code === undefined ? "" : ` (${code})`}`,
    { cause: thrown },
  );
}

async function* translated(
  call: Call,
  deadline: Deadline,
  body: AsyncIterable<Buffer>,
): AsyncGenerator<Buffer, void, undefined> {
  try {
    yield* body;
  } catch (thrown) {
    throw failure(call, deadline, thrown);
  }
}

async function readBounded(body: AsyncIterable<Buffer>, maxBytes: number, subject: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > maxBytes) throw new KubeError("TOO_LARGE", `${subject}: the answer is longer than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}

function parse(text: Buffer, subject: string): unknown {
  try {
    return JSON.parse(text.toString("utf8"));
  } catch {
    throw new KubeError("MALFORMED", `${subject}: the answer is not JSON`);
  }
}

/** HTTP to the API server: bounded bytes, a deadline for every call, credentials that follow rotation, typed errors. */
export class Transport {
  readonly #sessions: Sessions;
  readonly #clock: Clock;
  readonly #userAgent: string;
  readonly #metrics: KubeMetrics | undefined;
  readonly #silenceMs: number;

  constructor(access: KubeAccess, options: TransportOptions = {}) {
    this.#clock = options.clock ?? systemClock;
    this.#sessions = new Sessions(access, this.#clock);
    this.#userAgent = options.userAgent ?? "entrepot";
    this.#metrics = options.metrics;
    this.#silenceMs = options.watchSilenceMs ?? WATCH_SILENCE_MS;
  }

  /** Sends the call and gives its JSON, parsed, and its size. Throws `KubeError`. */
  async json(call: Call): Promise<{ readonly value: unknown; readonly bytes: number }> {
    using deadline = startDeadline(call.deadlineMs, call.signal);
    return await this.#observed(call, deadline, async () => {
      const response = await this.#send(call, deadline, 0);
      const text = await readBounded(response.body, call.maxBytes, call.subject);
      return { value: parse(text, call.subject), bytes: text.length };
    });
  }

  /**
   * Sends the call and, once the server has accepted it, gives the body's chunks as they come. Throws `KubeError`, also from the
   * chunks: for a body that stays silent too long, and at the deadline. `maxBytes` is the reader's business.
   * Disposing of the stream closes its connection.
   */
  async open(call: Call): Promise<OpenStream> {
    const deadline = startDeadline(call.deadlineMs, call.signal);
    try {
      const { body } = await this.#observed(call, deadline, () => this.#send(call, deadline, this.#silenceMs));
      body.on("error", () => undefined); // told by the iteration; without a listener an early disposal would be an uncaught error
      const dispose = (): void => {
        deadline[Symbol.dispose]();
        body.destroy();
      };
      return { chunks: translated(call, deadline, body), [Symbol.dispose]: dispose };
    } catch (thrown) {
      deadline[Symbol.dispose]();
      throw thrown;
    }
  }

  /** Closes idle connections, waiting for calls in flight. */
  async close(): Promise<void> {
    await this.#sessions.close();
  }

  async #observed<T>(call: Call, deadline: Deadline, work: () => Promise<T>): Promise<T> {
    const start = this.#clock.monotonicMs();
    let outcome = "OK";
    try {
      return await work();
    } catch (thrown) {
      const error = failure(call, deadline, thrown);
      outcome = error.code;
      throw error;
    } finally {
      this.#metrics?.observe(call.verb, call.resource, outcome, (this.#clock.monotonicMs() - start) / 1000);
    }
  }

  /** One exchange with what is safe to repeat: refused credentials once, a broken kept connection once (GET), throttling twice. */
  async #send(call: Call, deadline: Deadline, bodyTimeout: number): Promise<Response> {
    let renewed = false;
    let reconnected = false;
    for (let throttled = 0; ; ) {
      let response: Response;
      try {
        response = await this.#exchange(
          call,
          await abortable(this.#sessions.current(), deadline.signal),
          deadline.signal,
          bodyTimeout,
        );
      } catch (thrown) {
        if (reconnected || deadline.signal.aborted || !mayRepeat(call, thrown)) throw thrown;
        reconnected = true;
        continue;
      }
      if (response.statusCode >= 200 && response.statusCode < 300) return response;
      const error = await this.#refusal(call, response);
      if (error.code === "UNAUTHORIZED" && !renewed) {
        renewed = true;
        this.#sessions.invalidate();
      } else if (error.code === "THROTTLED" && throttled < THROTTLE_RETRIES) {
        throttled += 1;
        await this.#clock.sleep(retryAfterMs(response), deadline.signal);
        if (deadline.signal.aborted) throw error;
      } else throw error;
    }
  }

  async #exchange(call: Call, session: Session, signal: AbortSignal, bodyTimeout: number): Promise<Response> {
    return await session.dispatcher.request({
      origin: session.origin,
      path: `${session.prefix}${call.path}`,
      ...(call.query === undefined ? {} : { query: call.query }),
      method: call.method,
      headers: {
        ...session.headers,
        accept: call.accept ?? "application/json",
        "user-agent": this.#userAgent,
        ...(call.body === undefined ? {} : { "content-type": call.contentType ?? "application/json" }),
      },
      body: call.body ?? null,
      signal,
      headersTimeout: HEADERS_TIMEOUT_MS,
      bodyTimeout,
    });
  }

  async #refusal(call: Call, response: Response): Promise<KubeError> {
    let body: unknown;
    try {
      body = parse(await readBounded(response.body, ERROR_BODY_BYTES, call.subject), call.subject);
    } catch {
      body = undefined; // the HTTP status alone has to do
    }
    return errorFromStatus(call.subject, response.statusCode, body);
  }
}

function retryAfterMs(response: Response): number {
  const seconds = Number(response.headers["retry-after"]);
  return Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds * 1000, MAX_RETRY_AFTER_MS) : 1000;
}
