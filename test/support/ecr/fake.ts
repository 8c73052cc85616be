import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { selfSigned } from "../self-signed.ts";
import { EcrError, EcrState, type Fields } from "./behaviour.ts";
import type { EcrModel } from "./model.ts";
import { type Keys, signatureProblem } from "./signature.ts";

/** What goes wrong with one request. */
export type Fault =
  | {
      readonly kind: "error";
      readonly type: string;
      readonly status?: number;
      readonly headers?: Record<string, string>;
    }
  /** The connection ends; `done`: after the work was done. */
  | { readonly kind: "cut"; readonly done: boolean }
  | { readonly kind: "hang" }
  /** The answer begins and never ends. */
  | { readonly kind: "stall" }
  /** This body, in place of ECR's. */
  | { readonly kind: "body"; readonly body: string | Buffer; readonly status?: number }
  /** Another spelling of a right answer. */
  | { readonly kind: "respell"; readonly as: (body: Fields) => Fields };

export interface Call {
  readonly operation: string;
  readonly body: Fields;
}

/** In every error's text, and in no message of ours. */
export const LEAK = "leaked-7d1f";

/**
 * CONTRACT FAKE of Amazon ECR, never run against AWS: every request and every answer is held against ECR's service model (botocore), and
 * signatures are recomputed. What breaks the model is written to `deviations`.
 */
export class FakeEcr {
  readonly model: EcrModel;
  state: EcrState;
  readonly region: string;
  keys: Keys;
  readonly calls: Call[] = [];
  readonly deviations: string[] = [];
  fault: (operation: string) => Fault | undefined = () => undefined;
  #server: Server | undefined;
  #port = 0;
  /** Key and certificate. */
  readonly identity = selfSigned();
  readonly #trusted = getCACertificates("default");

  constructor(model: EcrModel, accountId: string, region: string, keys: Keys) {
    this.model = model;
    this.state = new EcrState(accountId);
    this.region = region;
    this.keys = keys;
  }

  get endpoint(): string {
    return `https://localhost:${this.#port}`;
  }

  /** The operations that were asked for, in order; `writes`: those that change something. */
  get operations(): readonly string[] {
    return this.calls.map(({ operation }) => operation);
  }

  get writes(): readonly string[] {
    return this.operations.filter((operation) => /^(?:Create|Update|Delete)/.test(operation));
  }

  /** Forgets everything but its port. */
  reset(): void {
    this.calls.length = 0;
    this.state = new EcrState(this.state.accountId);
    this.fault = () => undefined;
  }

  /** Listens, and has this process trust the fake's certificate until `stop`. */
  async start(): Promise<void> {
    const server = createServer(this.identity, (request, response) => {
      this.#serve(request, response).catch((thrown: unknown) => {
        this.deviations.push(`the fake failed: ${String(thrown)}`);
        response.destroy();
      });
    });
    this.#server = server;
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    this.#port = typeof address === "object" && address !== null ? address.port : 0;
    setDefaultCACertificates([...this.#trusted, this.identity.cert]);
  }

  async stop(): Promise<void> {
    setDefaultCACertificates(this.#trusted);
    this.#server?.closeAllConnections();
    this.#server?.close();
    if (this.#server !== undefined) await once(this.#server, "close");
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    const operation = this.#operation(request);
    if (operation === undefined) return this.#error(response, "", new EcrError("UnknownOperationException"));
    const body = JSON.parse(text) as Fields;
    this.calls.push({ operation, body });
    const scope = { region: this.region, service: "ecr" };
    const unsigned = signatureProblem(request.headers, text, scope, this.keys);
    if (unsigned !== undefined) return this.#error(response, operation, new EcrError(unsigned));
    const problems = this.model.request(operation, body);
    this.deviations.push(...problems.map((problem) => `request ${problem}`));
    const fault = this.fault(operation);
    if (fault?.kind === "hang") return;
    if (fault?.kind === "stall")
      return void response.writeHead(200, { "content-type": this.model.contentType }).write("{");
    if (fault?.kind === "cut" && !fault.done) return void request.socket.destroy();
    if (fault?.kind === "body")
      return void response.writeHead(fault.status ?? 200, { "content-type": this.model.contentType }).end(fault.body);
    try {
      if (fault?.kind === "error") throw new EcrError(fault.type, fault.status, fault.headers);
      if (problems.length > 0) throw new EcrError("ValidationException");
      const answer = this.state.answer(operation, body);
      this.deviations.push(...this.model.response(operation, answer).map((problem) => `response ${problem}`));
      if (fault?.kind === "cut") return void request.socket.destroy();
      const shown = fault?.kind === "respell" ? fault.as(answer) : answer;
      response.writeHead(200, { "content-type": this.model.contentType }).end(JSON.stringify(shown));
    } catch (thrown) {
      if (!(thrown instanceof EcrError)) throw thrown;
      this.#error(response, operation, thrown);
    }
  }

  #operation({ method, url, headers }: IncomingMessage): string | undefined {
    const [prefix, name = ""] = String(headers["x-amz-target"]).split(".");
    const right =
      method === "POST" &&
      url === "/" &&
      prefix === this.model.targetPrefix &&
      headers["content-type"] === this.model.contentType;
    if (right && this.model.has(name)) return name;
    this.deviations.push(`no request to ECR: ${method ?? ""} ${url ?? ""} ${String(headers["x-amz-target"])}`);
    return undefined;
  }

  #error(response: ServerResponse, operation: string, { type, status, headers }: EcrError): void {
    const action = `arn:aws:sts::${this.state.accountId}:assumed-role/x is not authorized to perform: ecr:${operation} on resource: ${LEAK}`;
    const message = type === "AccessDeniedException" ? `User: ${action}` : `${LEAK} of ${operation}`;
    if (operation !== "")
      this.deviations.push(...this.model.error(operation, type, { message }).map((problem) => `error ${problem}`));
    response.writeHead(status, { "content-type": this.model.contentType, ...headers });
    response.end(JSON.stringify({ __type: `com.amazonaws.ecr#${type}`, message }));
  }
}
