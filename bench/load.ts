// The client: as little as can be between two clock readings, because it shares the machine with what it measures.
import { Client, type Dispatcher } from "undici";
import type { Credentials } from "./credentials.ts";

const TIMEOUT_MS = 60_000;

/** What a series of admissions took. */
export interface Series {
  /** Milliseconds from the first byte sent to the last received, in the order in which they ended; refused ones are left out. */
  readonly latencies: readonly number[];
  readonly elapsedMs: number;
  /** What was said of Pods that were not admitted. */
  readonly errors: readonly string[];
}

export interface Plan {
  readonly concurrency: number;
  /** The Pod to create, or undefined when there is none left. */
  readonly next: (index: number) => Buffer | undefined;
  /** Whether there are enough; asked before each admission. */
  readonly enough: (done: number, elapsedMs: number) => boolean;
}

/** Creates Pods on trial (`dryRun=All`) by HTTP/1.1 connections that stay open, one request at a time on each. */
export class Load {
  readonly #clients: Client[] = [];
  readonly #connect: () => Client;
  readonly #headers: string[];
  readonly #path: string;

  constructor({ server, connect, headers }: Credentials, namespace: string) {
    const limits = { headersTimeout: TIMEOUT_MS, bodyTimeout: TIMEOUT_MS, keepAliveTimeout: TIMEOUT_MS };
    this.#connect = () => new Client(server, { ...limits, pipelining: 1, connect });
    this.#headers = [...headers, "content-type", "application/json", "accept", "application/json"];
    this.#path = `/api/v1/namespaces/${namespace}/pods?dryRun=All`;
  }

  /** Creates Pods until the plan has enough. */
  async run({ concurrency, next, enough }: Plan): Promise<Series> {
    await this.#open(concurrency);
    const latencies: number[] = [];
    const errors: string[] = [];
    let index = 0;
    const began = performance.now();
    const work = async (client: Client) => {
      while (!enough(latencies.length + errors.length, performance.now() - began)) {
        const body = next(index++);
        if (body === undefined) return;
        const from = performance.now();
        const error = await this.#create(client, body);
        if (error === undefined) latencies.push(performance.now() - from);
        else errors.push(error);
      }
    };
    await Promise.all(this.#clients.slice(0, concurrency).map(work));
    return { latencies, errors, elapsedMs: performance.now() - began };
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.destroy()));
  }

  /** Opens what is missing of `count` connections: no admission pays for a TLS handshake with the API server. */
  async #open(count: number): Promise<void> {
    const missing = Array.from({ length: Math.max(0, count - this.#clients.length) }, this.#connect);
    this.#clients.push(...missing);
    const ask = async (client: Client) => {
      const { body } = await client.request({ path: "/version", method: "GET", headers: this.#headers });
      await body.dump();
    };
    await Promise.all(missing.map(ask));
  }

  /** Resolves to nothing when the Pod is admitted, else to what was answered. */
  #create(client: Client, body: Buffer): Promise<string | undefined> {
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    let status = 0;
    let refusal = "";
    const handler: Dispatcher.DispatchHandler = {
      onRequestStart: () => undefined,
      onResponseStart: (_controller, statusCode) => {
        status = statusCode;
      },
      onResponseData: (_controller, chunk) => {
        if (status >= 300) refusal += chunk.toString();
      },
      onResponseEnd: () => resolve(status < 300 ? undefined : `${status} ${refusal.slice(0, 500)}`),
      onResponseError: (_controller, error) => resolve(String(error)),
    };
    client.dispatch({ path: this.#path, method: "POST", headers: this.#headers, body }, handler);
    return promise;
  }
}
