import { type Handler, type RunningServer, startServer, type TlsPair } from "../adapters/http/server.ts";
import type { Log } from "../adapters/telemetry/log.ts";
import { messageOf } from "../core/errors.ts";

/** The certificate in the data of its Secret, or undefined while it is not there. */
export function tlsPair(data: Readonly<Record<string, Uint8Array>> | undefined): TlsPair | undefined {
  const text = (name: string) => Buffer.from(data?.[name] ?? "").toString("utf8");
  const pair = { cert: text("server-cert.pem"), key: text("server-key.pem") };
  return pair.cert === "" || pair.key === "" ? undefined : pair;
}

/** The HTTPS server of the webhook: it begins when there is a certificate, and follows the certificate's rotation. */
export class TlsServer {
  readonly #options: { readonly handler: Handler; readonly port: number; readonly log: Log };
  #server: RunningServer | undefined;
  #wanted: TlsPair | undefined;
  #following = false;

  constructor(options: { readonly handler: Handler; readonly port: number; readonly log: Log }) {
    this.#options = options;
  }

  /** Whether requests are answered. */
  get listening(): boolean {
    return this.#server !== undefined;
  }

  /** Serves with this certificate from now on. A pair that cannot be used is logged; the one before stays. */
  async use(pair: TlsPair | undefined): Promise<void> {
    if (pair === undefined || (pair.cert === this.#wanted?.cert && pair.key === this.#wanted.key)) return;
    this.#wanted = pair;
    if (this.#following) return; // whoever is at it looks again
    this.#following = true;
    for (let next: TlsPair | undefined = pair; next !== undefined; ) {
      await this.#serve(next);
      next = this.#wanted === next ? undefined : this.#wanted;
    }
    this.#following = false;
  }

  async #serve(pair: TlsPair): Promise<void> {
    try {
      if (this.#server === undefined) this.#server = await startServer({ ...this.#options, tls: pair });
      else this.#server.reloadTls(pair);
      this.#options.log.info("serving certificate in use", { port: this.#server.port });
    } catch (thrown) {
      this.#options.log.error("serving certificate not usable", { error: messageOf(thrown) });
    }
  }

  /** Ends without losing a request (design D16). */
  async drain(ms: number): Promise<void> {
    await this.#server?.drain(ms);
  }
}
