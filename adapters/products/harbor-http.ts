import { Agent, type Dispatcher, errors } from "undici";
import { fieldsOf, parseJson, stringField } from "../../core/json.ts";
import { networkCodeOf, wordOf } from "../kms/errors.ts";
import { ProductError } from "./errors.ts";
import type { CallGate } from "./gate.ts";

/** How a Harbor is reached and who signs in. */
export interface HarborAccess {
  /** Scheme and host, e.g. https://harbor.example.com. */
  readonly url: string;
  /** PEM; in place of the public certificate authorities. */
  readonly ca?: string;
  readonly username: string;
  readonly password: string;
  /** Where the credentials are from, for messages: `Secret "x" in namespace y`. */
  readonly credentialsFrom: string;
}

/** One call. `what` names it in messages, as in "could not <what>". */
export interface HarborCall {
  readonly what: string;
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  /** Below /api/v2.0; every part encoded. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  /** Refusals that the caller decides about; any other is thrown. */
  readonly accept?: readonly number[];
}

/** An answer that is a success, or a refusal that the caller accepts. */
export interface HarborAnswer {
  readonly status: number;
  readonly json: unknown;
  /** Of a refusal: Harbor's own words, to recognise; never for a message. */
  readonly complaint: string;
  /** Of a refusal: Harbor's error code, safe in a message. */
  readonly code: string;
  readonly total: number | undefined;
}

const BODY_LIMIT = 8 * 1024 * 1024; // a page of a hundred projects, each with an allowlist
const ERROR_LIMIT = 16 * 1024;
const HEADER_LIMIT = 16 * 1024;

/** Harbor's API over HTTP: every answer bounded in bytes and time, no redirect followed, nothing tried again. */
export class HarborHttp {
  readonly #access: HarborAccess;
  readonly #gate: CallGate;
  readonly #agent: Agent;
  readonly #host: string;

  constructor(access: HarborAccess, gate: CallGate) {
    this.#access = access;
    this.#gate = gate;
    this.#host = new URL(access.url).host;
    this.#agent = new Agent({
      connect: { timeout: 10_000, ...(access.ca !== undefined && { ca: access.ca }) },
      connections: 8, // four upstreams that Harbor may be made to wait for, and the four rules that are worked on at once
      pipelining: 1,
      allowH2: false, // the limits below are HTTP/1.1's
      keepAliveTimeout: 4_000,
      maxHeaderSize: HEADER_LIMIT,
      headersTimeout: 0, // the gate's deadline covers headers and body
      bodyTimeout: 0,
    });
  }

  /** Throws `ProductError` for every answer that no caller has to decide about. */
  async call(call: HarborCall, signal: AbortSignal): Promise<HarborAnswer> {
    return await this.#gate.run(async (within) => {
      try {
        return await this.#answer(call, await this.#send(call, within));
      } catch (thrown) {
        within.throwIfAborted();
        throw thrown instanceof ProductError ? thrown : this.#unreachable(call, thrown);
      }
    }, signal);
  }

  async #send(call: HarborCall, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    const { url, username, password } = this.#access;
    const query = call.query === undefined ? "" : `?${new URLSearchParams(call.query).toString()}`;
    return await this.#agent.request({
      origin: new URL(url).origin,
      path: `/api/v2.0${call.path}${query}`,
      method: call.method,
      signal,
      headers: {
        accept: "application/json",
        "user-agent": "entrepot",
        authorization: `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`,
        ...(call.body !== undefined && { "content-type": "application/json" }),
        ...call.headers,
      },
      ...(call.body !== undefined && { body: JSON.stringify(call.body) }),
    });
  }

  async #answer(call: HarborCall, response: Dispatcher.ResponseData): Promise<HarborAnswer> {
    const { statusCode: status, headers, body } = response;
    const isSuccess = status >= 200 && status < 300;
    const text = await readText(body, isSuccess ? BODY_LIMIT : ERROR_LIMIT);
    if (isSuccess && text === undefined)
      throw this.#malformed(call, `answers with more than ${BODY_LIMIT / 1024 / 1024} MiB`);
    const json = parseJson(text ?? "");
    const error: unknown = (fieldsOf(json)?.["errors"] as readonly unknown[] | undefined)?.[0];
    const code = wordOf(stringField(error, "code"));
    const total = Number(headers["x-total-count"] ?? Number.NaN);
    const isHarbors = fieldsOf(json)?.["errors"] !== undefined; // else a proxy in front of it says so
    if (isSuccess || (isHarbors && call.accept?.includes(status) === true)) {
      const complaint = stringField(error, "message") ?? "";
      return { status, json, complaint, code, total: Number.isSafeInteger(total) ? total : undefined };
    }
    throw this.#refusal(call, status, isHarbors ? code : "not from Harbor", headers["retry-after"]);
  }

  #refusal(call: HarborCall, status: number, code: string, retryAfter: string | string[] | undefined): ProductError {
    const said = `Harbor at ${this.#host} answered HTTP ${status} (${code}) to: ${call.what}`;
    const { credentialsFrom } = this.#access;
    if (status === 401)
      return new ProductError(
        "PRODUCT_UNAUTHENTICATED",
        `${said}; the user name or password in ${credentialsFrom} is wrong or has expired: put a valid one there`,
      );
    if (status === 403)
      return new ProductError(
        "PRODUCT_FORBIDDEN",
        `${said}; the account in ${credentialsFrom} is no administrator, and no system robot that may do this for all projects: use one that is`,
      );
    if (status === 429)
      return new ProductError("PRODUCT_THROTTLED", `${said}: too many requests`, {
        retryAfterMs: retryAfterMs(retryAfter),
      });
    if (status >= 500)
      return new ProductError("PRODUCT_UNAVAILABLE", `${said}; see Harbor's own log (core) for the cause`);
    if (status >= 300 && status < 400)
      return new ProductError(
        "PRODUCT_REFUSED",
        `${said}, a redirect; credentials are not sent on: write the URL that it redirects to into spec.harbor.url`,
        { reason: "InvalidSpec" },
      );
    if (status === 404 && code === "not from Harbor")
      return new ProductError(
        "PRODUCT_REGISTRY_NOT_FOUND",
        `${said}; there is no Harbor API (/api/v2.0) at this address: check spec.harbor.url`,
      );
    return new ProductError("PRODUCT_REFUSED", `${said}; see Harbor's own log (core) for the cause`);
  }

  #malformed(call: HarborCall, how: string): ProductError {
    return new ProductError(
      "PRODUCT_MALFORMED",
      `Harbor at ${this.#host} ${how} to: ${call.what}; check that spec.harbor.url is that of a Harbor`,
    );
  }

  #unreachable(call: HarborCall, thrown: unknown): ProductError {
    const code = networkCodeOf(thrown) ?? "no answer";
    // undici's parser error carries what was received: it stays out of the cause, and so of logs.
    const cause = thrown instanceof errors.HTTPParserError ? {} : { cause: thrown };
    const isTrust = /CERT|SELF_SIGNED|UNABLE_|TLS|SSL/.test(code);
    const next = isTrust ? "check spec.harbor.caBundleRef" : "check spec.harbor.url and that Harbor is running";
    const message = `cannot talk to Harbor at ${this.#host} (${code}) to: ${call.what}; ${next}`;
    return new ProductError("PRODUCT_UNAVAILABLE", message, cause);
  }
}

/** The body's text, or undefined when it is longer than `limit` bytes; then the connection is given up. */
async function readText(body: Dispatcher.ResponseData["body"], limit: number): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > limit) return undefined; // leaving the loop destroys the stream
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size).toString("utf8");
}

/** `Retry-After` (RFC 9110, section 10.2.3) in milliseconds; ten seconds if absent or unreadable. */
function retryAfterMs(header: string | string[] | undefined): number {
  const text = String(header ?? "");
  if (/^[0-9]{1,6}$/.test(text)) return Number(text) * 1_000;
  return 10_000;
}
