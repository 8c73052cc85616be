import type { Handler } from "../adapters/http/server.ts";
import { type RunningServer, startServer, type TlsPair } from "../adapters/http/server.ts";
import type { Log } from "../adapters/telemetry/log.ts";
import { messageOf } from "../core/errors.ts";

/** The HTTPS server of the webhook: it begins when there is a certificate, and follows the certificate's rotation. */
export class TlsServer {
  readonly #options: { readonly handler: Handler; readonly port: number; readonly log: Log };
  #server: RunningServer | undefined;
  #starting = false;
  #served: string | undefined;

  constructor(options: { readonly handler: Handler; readonly port: number; readonly log: Log }) {
    this.#options = options;
  }

  /** Whether requests are answered. */
  get listening(): boolean {
    return this.#server !== undefined;
  }

  /** Serves with this certificate from now on. A pair that cannot be used is logged; the one before stays. */
  async use(pair: TlsPair | undefined): Promise<void> {
    if (pair === undefined || this.#starting) return;
    const fingerprint = `${pair.cert}${pair.key}`;
    if (fingerprint === this.#served) return;
    this.#starting = true;
    try {
      if (this.#server === undefined) this.#server = await startServer({ ...this.#options, tls: pair });
      else this.#server.reloadTls(pair);
      this.#served = fingerprint;
      this.#options.log.info("serving certificate in use", { port: this.#server.port });
    } catch (thrown) {
      this.#options.log.error("serving certificate not usable", { error: messageOf(thrown) });
    } finally {
      this.#starting = false;
    }
  }

  /** Ends without losing a request (design D16). */
  async drain(ms: number): Promise<void> {
    await this.#server?.drain(ms);
  }
}
