import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import { selfSigned } from "../self-signed.ts";
import { HarborContract } from "./contract.ts";
import { HANDLERS } from "./handlers.ts";
import { type Answer, failure, HarborState } from "./state.ts";

/** What goes wrong with one request: what stands between Harbor and its client, so no part of the contract. */
export type Fault =
  /** Harbor does it, and the connection breaks before it says so. */
  | { readonly kind: "cut" }
  /** The first byte of an answer, and then nothing. */
  | { readonly kind: "stall" }
  /** Harbor does it, and never says so. */
  | { readonly kind: "silent" }
  /** Harbor does nothing; this is answered instead. */
  | {
      readonly kind: "reply";
      readonly status: number;
      readonly text: string;
      readonly headers?: Readonly<Record<string, string>>;
    };

interface Injected {
  readonly method: string;
  readonly path: RegExp;
  readonly saying: RegExp;
  readonly fault: Fault;
  /** Requests that go well before. */
  skip: number;
  isDone: boolean;
}

/** A contract fake of Harbor over TLS, never run against Harbor: it keeps to its API description and to what its source says of the handlers. */
export class FakeHarbor {
  readonly state = new HarborState();
  readonly deviations: string[] = [];
  /** `METHOD path` of each request that is more than a question. */
  readonly writes: string[] = [];
  readonly requests: string[] = [];
  username = "robot$entrepot";
  password = "correct horse battery staple";
  readonly #identity = selfSigned();
  readonly #contract: HarborContract;
  readonly #faults: Injected[] = [];
  #server: Server | undefined;
  #port = 0;

  constructor(contract: string) {
    this.#contract = new HarborContract(contract);
  }

  get url(): string {
    return `https://localhost:${this.#port}`;
  }

  get ca(): string {
    return this.#identity.cert;
  }

  /** One request that fits (path, and body) goes wrong: the next, or the one after `skip` others. */
  inject(method: string, path: RegExp, fault: Fault, skip = 0, saying = /(?:)/): void {
    this.#faults.push({ method, path, saying, fault, skip, isDone: false });
  }

  async start(): Promise<void> {
    const server = createServer(this.#identity, (request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => this.#serve(request, Buffer.concat(chunks).toString(), response));
    });
    server.listen(this.#port, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    this.#port = typeof address === "object" && address !== null ? address.port : 0;
    this.#server = server;
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  }

  #serve(request: IncomingMessage, text: string, response: ServerResponse): void {
    const { method = "", url = "" } = request;
    this.requests.push(`${method} ${url}`);
    const fault = this.#faultOf(method, url, text);
    if (fault?.kind === "reply") {
      response.writeHead(fault.status, fault.headers).end(fault.text);
      return;
    }
    if (fault?.kind === "stall") {
      response.writeHead(200, { "content-type": "application/json" }).write("[");
      return;
    }
    const answer = this.#answer(request, text);
    if (fault?.kind === "cut") {
      request.socket.destroy();
      return;
    }
    if (fault?.kind === "silent") return;
    response.writeHead(answer.status, { "content-type": "application/json; charset=utf-8", ...answer.headers });
    response.end(answer.body === undefined ? "" : JSON.stringify(answer.body));
  }

  #answer(request: IncomingMessage, text: string): Answer {
    const { method = "", url = "", headers } = request;
    const body: unknown = text === "" ? undefined : JSON.parse(text);
    const found = this.#contract.match(method, url);
    const isWrite = method !== "GET" && found?.id !== "pingRegistry";
    if (isWrite) this.writes.push(`${method} ${url}`);
    const expected = `Basic ${Buffer.from(`${this.username}:${this.password}`).toString("base64")}`;
    const handler = HANDLERS[found?.id ?? ""];
    const call = {
      isName: headers["x-is-resource-name"] === "true",
      values: found?.values ?? new Map(),
      query: new URL(url, this.url).searchParams,
      body: (body ?? {}) as Record<string, unknown>,
    };
    const answer =
      headers.authorization === expected
        ? (handler?.(this.state, call) ?? failure(404, "NOT_FOUND", "path not found"))
        : failure(401, "UNAUTHORIZED", "unauthorized");
    this.deviations.push(
      ...this.#contract.deviations({
        method,
        path: url,
        headers,
        requestBody: body,
        status: answer.status,
        body: answer.body,
      }),
    );
    return answer;
  }

  #faultOf(method: string, path: string, text: string): Fault | undefined {
    const injected = this.#faults.find(
      (one) => !one.isDone && one.method === method && one.path.test(path) && one.saying.test(text),
    );
    if (injected === undefined) return undefined;
    injected.isDone = injected.skip === 0;
    injected.skip -= 1;
    return injected.isDone ? injected.fault : undefined;
  }
}
