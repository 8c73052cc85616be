import { once } from "node:events";
import { Worker } from "node:worker_threads";

const REQUESTS = 0;
const DELAY_MS = 1;

/** The registry as contestants see it: every request is counted, and held back first for as long as is asked. */
export class RegistryProxy {
  /** `host:port`, plain HTTP. */
  readonly host: string;
  readonly #thread: Worker;
  readonly #shared: Int32Array;

  private constructor(host: string, thread: Worker, shared: Int32Array) {
    this.host = host;
    this.#thread = thread;
    this.#shared = shared;
  }

  /** Starts one before the registry at `target` (`host:port`). */
  static async start(target: string): Promise<RegistryProxy> {
    const shared = new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT));
    const thread = new Worker(new URL("proxy-thread.ts", import.meta.url), { workerData: { target, shared } });
    const [port] = (await once(thread, "message")) as [number];
    return new RegistryProxy(`127.0.0.1:${port}`, thread, shared);
  }

  /** How many requests it has been sent since it started. */
  get requests(): number {
    return Atomics.load(this.#shared, REQUESTS);
  }

  /** Holds every request from now on back for this long. */
  delay(milliseconds: number): void {
    Atomics.store(this.#shared, DELAY_MS, milliseconds);
  }

  async stop(): Promise<void> {
    await this.#thread.terminate();
  }
}
