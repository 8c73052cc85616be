import { createHash } from "node:crypto";
import { getCACertificates } from "node:tls";
import { Agent, type Dispatcher } from "undici";
import { type BackoffPolicy, backoffMs } from "../../core/backoff.ts";
import type { RemoteDocument } from "../../core/policy/needs.ts";
import type { Clock } from "../clock.ts";
import { startDeadline } from "../deadline.ts";
import { checkLiteral, lookupWithin, type Nearness } from "../registry/addresses.ts";
import { isPassing, RemoteError } from "./errors.ts";
import { failureOf } from "./failures.ts";

export interface RemoteOptions {
  readonly clock: Clock;
  /** More certificate authorities (PEM), beside the system's. */
  readonly ca?: string;
  /** How near an address may be; `private` if absent: a cluster's own Git server is, the operator's own Pod is not. */
  readonly reach?: Nearness;
  /** Bytes of a document; 1 MiB if absent, as much as a ConfigMap takes. */
  readonly limit?: number;
  /** For one attempt, redirects and all; 10 s if absent. */
  readonly attemptMs?: number;
  readonly attempts?: number;
  /** Dice in [0, 1) for the jitter. */
  readonly random?: () => number;
}

/** Between attempts: about 0.3 and 1 s. */
const RETRY: BackoffPolicy = Object.freeze({ baseMs: 300, factor: 3, capMs: 5_000, jitter: 0.5 });
const REDIRECTS = 5;
const CONNECT_MS = 5_000;
const HEADER_LIMIT = 16 * 1024;

/** Fetches documents over https, bounded in bytes and time, tried again a few times, and compared with their sum. Close it with `close`. */
export class RemoteDocuments {
  readonly #options: Required<Omit<RemoteOptions, "ca">>;
  readonly #agent: Agent;

  constructor(options: RemoteOptions) {
    const { ca } = options;
    this.#options = {
      reach: "private",
      limit: 1024 * 1024,
      attemptMs: 10_000,
      attempts: 3,
      random: Math.random,
      ...options,
    };
    this.#agent = new Agent({
      connect: {
        timeout: CONNECT_MS,
        lookup: lookupWithin(this.#options.reach),
        ...(ca !== undefined && { ca: [...getCACertificates("default"), ca] }),
      },
      connections: 4,
      pipelining: 1,
      keepAliveTimeout: 1_000,
      maxHeaderSize: HEADER_LIMIT,
      headersTimeout: 0, // the attempt's own deadline covers headers and body
      bodyTimeout: 0,
    });
  }

  /** The document's text (UTF-8). Throws `RemoteError`, or the signal's reason. */
  async fetch(document: RemoteDocument, signal: AbortSignal): Promise<string> {
    const url = parseUrl(document.url);
    for (let failures = 1; ; failures++) {
      try {
        return textOf(await this.#attempt(url, signal), document.sha256sum, url);
      } catch (thrown) {
        signal.throwIfAborted();
        if (!isPassing(thrown) || failures >= this.#options.attempts) throw thrown;
        await this.#options.clock.sleep(backoffMs(RETRY, failures, this.#options.random()), signal);
        signal.throwIfAborted();
      }
    }
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  async #attempt(start: URL, signal: AbortSignal): Promise<Buffer> {
    const { attemptMs } = this.#options;
    using deadline = startDeadline(attemptMs, signal);
    let url = start;
    try {
      for (let redirects = 0; redirects <= REDIRECTS; redirects++) {
        const answer = await this.#request(url, url.origin === start.origin ? start : undefined, deadline.signal);
        const next = await redirectOf(answer, url);
        if (next === undefined) return await readAll(answer, url, this.#options.limit);
        url = next;
      }
    } catch (thrown) {
      throw failureOf(url.host, thrown, deadline.expired ? attemptMs : undefined);
    }
    throw new RemoteError("REMOTE_REFUSED", `${start.host} redirects more than ${REDIRECTS} times`);
  }

  async #request(url: URL, owner: URL | undefined, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    checkLiteral(url, this.#options.reach);
    const { username = "", password = "" } = owner ?? {};
    const user = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
    return await this.#agent.request({
      origin: url.origin,
      path: `${url.pathname}${url.search}`,
      method: "GET",
      signal,
      headers: {
        "user-agent": "entrepot",
        ...(user !== ":" && { authorization: `Basic ${Buffer.from(user).toString("base64")}` }),
      },
    });
  }
}

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== "https:" || url.hostname === "")
    throw new RemoteError("REMOTE_URL_INVALID", "the URL must begin with https:// and have a host");
  return url;
}

/** Where a redirect leads, or undefined if the answer is none. Throws `REMOTE_REFUSED` for another scheme. */
async function redirectOf({ statusCode, headers, body }: Dispatcher.ResponseData, from: URL): Promise<URL | undefined> {
  if (![301, 302, 303, 307, 308].includes(statusCode)) return undefined;
  await body.dump({ limit: HEADER_LIMIT });
  const location = String(headers["location"] ?? "");
  const to = URL.canParse(location, from.href) ? new URL(location, from.href) : undefined;
  if (to?.protocol === "https:") return to;
  throw new RemoteError("REMOTE_REFUSED", `${from.host} redirects to something that is not https`);
}

async function readAll(
  { statusCode, headers, body }: Dispatcher.ResponseData,
  url: URL,
  limit: number,
): Promise<Buffer> {
  if (statusCode !== 200) {
    await body.dump({ limit: HEADER_LIMIT });
    const again = statusCode >= 500 || statusCode === 429;
    throw new RemoteError(
      again ? "REMOTE_FAILED" : "REMOTE_REFUSED",
      `${url.host} answers with HTTP status ${statusCode}`,
    );
  }
  const tooLarge = new RemoteError("REMOTE_TOO_LARGE", `${url.host} answers with more than ${limit} bytes`);
  if (Number(headers["content-length"] ?? 0) > limit) {
    body.on("error", () => undefined).destroy();
    throw tooLarge;
  }
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > limit) throw tooLarge; // leaving the loop destroys the stream, and with it the connection
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}

function textOf(bytes: Buffer, sha256sum: string, { host }: URL): string {
  const sum = createHash("sha256").update(bytes).digest("hex");
  if (sum !== sha256sum) {
    const message = `what ${host} serves has sha256sum ${sum}, and the policy says ${sha256sum}; if the change is yours, write the new sum into the policy`;
    throw new RemoteError("REMOTE_MISMATCH", message);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes); // keeps the BOM, so that the sum stays true
  } catch (cause) {
    throw new RemoteError("REMOTE_NOT_TEXT", `what ${host} serves is not UTF-8`, { cause });
  }
}
