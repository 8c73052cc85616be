import { type Handler, type RunningServer, startServer, type TlsPair } from "../adapters/http/server.ts";
import type { Log } from "../adapters/telemetry/log.ts";

export interface ListenerOptions {
  readonly port: number;
  readonly handler: Handler;
  readonly log: Log;
}

/** The registry port: plain, or over TLS from when there is a certificate, which it follows without dropping a connection. */
export class Listener {
  readonly #options: ListenerOptions;
  #server: RunningServer | undefined;

  constructor(options: ListenerOptions) {
    this.#options = options;
  }

  /** The port, once requests are answered. */
  get port(): number | undefined {
    return this.#server?.port;
  }

  /** Begins without TLS. */
  async startPlain(): Promise<void> {
    this.#server = await startServer(this.#options);
  }

  /** Serves with this certificate from now on: new connections, those that are open go on. Throws when it cannot. */
  async useTls(tls: TlsPair): Promise<void> {
    if (this.#server === undefined) this.#server = await startServer({ ...this.#options, tls });
    else this.#server.reloadTls(tls);
  }

  /** Ends without cutting what is under way (adapters/http/server.ts). */
  async drain(ms: number, graceMs: number): Promise<void> {
    await this.#server?.drain(ms, graceMs);
  }
}
