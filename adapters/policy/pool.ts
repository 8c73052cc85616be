import { messageOf } from "../../core/errors.ts";
import { PolicyEngineError } from "./errors.ts";
import { EngineInstance, type InstanceLimits } from "./instance.ts";
import type { Verdict } from "./protocol.ts";
import { FairQueue } from "./queue.ts";

/** How many instances there are, and how many requests may wait for them. */
export interface PoolOptions extends InstanceLimits {
  readonly workers: number;
  readonly queue: number;
}

interface Job {
  readonly request: Uint8Array<ArrayBuffer>;
  resolve(verdict: Verdict): void;
  reject(reason: unknown): void;
}

/**
 * Instances of the policy engine, started as they are needed and replaced when they die or wear out. A request that kills its instance fails
 * alone; those that wait go to another.
 */
export class EnginePool {
  readonly #load: () => Promise<WebAssembly.Module>;
  readonly #options: PoolOptions;
  readonly #queue = new FairQueue<Job>();
  readonly #idle: EngineInstance[] = [];
  readonly #all = new Set<EngineInstance>();
  #starting = 0;
  #closed = false;

  constructor(load: () => Promise<WebAssembly.Module>, options: PoolOptions) {
    this.#load = load;
    this.#options = options;
  }

  /**
   * Serves a request; requests of one `group` do not keep those of others waiting for longer than one of them takes. Rejects with a
   * PolicyEngineError; when `signal` aborts, at once, while the engine goes on with what it has begun.
   */
  run(group: string, request: Uint8Array<ArrayBuffer>, signal: AbortSignal): Promise<Verdict> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(closed());
      if (signal.aborted) return reject(aborted(signal));
      if (this.#queue.size >= this.#options.queue)
        return reject(new PolicyEngineError("ENGINE_BUSY", `${this.#queue.size} evaluations of policies wait already`));
      const onAbort = (): void => {
        this.#queue.remove(group, job);
        job.reject(aborted(signal));
      };
      const job: Job = {
        request,
        resolve: (verdict) => {
          signal.removeEventListener("abort", onAbort);
          resolve(verdict);
        },
        reject: (reason) => {
          signal.removeEventListener("abort", onAbort);
          reject(reason);
        },
      };
      signal.addEventListener("abort", onAbort, { once: true });
      this.#queue.add(group, job);
      this.#dispatch();
    });
  }

  /** Ends everything; what runs or waits is rejected. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#failAll(closed());
    await Promise.all([...this.#all].map((instance) => instance.end()));
  }

  #dispatch(): void {
    while (this.#queue.size > 0) {
      const instance = this.#idle.pop();
      if (instance === undefined) break;
      const job = this.#queue.take();
      if (job !== undefined) void this.#serve(instance, job);
    }
    const room = this.#options.workers - this.#all.size - this.#starting;
    const wanted = Math.min(room, this.#queue.size - this.#starting);
    for (let index = 0; index < wanted; index++) void this.#start();
  }

  async #serve(instance: EngineInstance, job: Job): Promise<void> {
    try {
      job.resolve(await instance.serve(job.request));
    } catch (error) {
      job.reject(error);
    }
    if (instance.usable && !this.#closed) {
      this.#idle.push(instance);
    } else {
      await instance.end();
      this.#all.delete(instance);
    }
    this.#dispatch();
  }

  async #start(): Promise<void> {
    this.#starting += 1;
    try {
      const instance = await EngineInstance.start(await this.#load(), this.#options);
      if (this.#closed) return await instance.end();
      this.#all.add(instance);
      this.#idle.push(instance);
    } catch (error) {
      // Nobody else is there to serve what waits, and what waits would wait for nothing.
      if (this.#all.size === 0 && this.#starting === 1) this.#failAll(unavailable(error));
    } finally {
      this.#starting -= 1;
      if (this.#all.size > 0) this.#dispatch();
    }
  }

  #failAll(reason: PolicyEngineError): void {
    for (let job = this.#queue.take(); job !== undefined; job = this.#queue.take()) job.reject(reason);
  }
}

function unavailable(error: unknown): PolicyEngineError {
  if (error instanceof PolicyEngineError) return error;
  return new PolicyEngineError("ENGINE_UNAVAILABLE", `the policy engine cannot be loaded: ${messageOf(error)}`, error);
}

function aborted(signal: AbortSignal): PolicyEngineError {
  const reason = `the evaluation of a policy was given up: ${messageOf(signal.reason)}`;
  return new PolicyEngineError("ENGINE_ABORTED", reason, signal.reason);
}

function closed(): PolicyEngineError {
  return new PolicyEngineError("ENGINE_CLOSED", "the policy engine is closed");
}
