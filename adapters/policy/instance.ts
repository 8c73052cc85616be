import { Worker } from "node:worker_threads";
import { messageOf } from "../../core/errors.ts";
import { PolicyEngineError } from "./errors.ts";
import type { Verdict, WorkerMessage, WorkerSetup } from "./protocol.ts";

/** How much one instance of the engine may have and take. */
export interface InstanceLimits {
  /** For an instance to become ready, milliseconds. */
  readonly startMs: number;
  /** For one request, milliseconds. */
  readonly evaluationMs: number;
  /** The upper bound of the engine's memory. */
  readonly memoryBytes: number;
}

const MEBIBYTE = 1 << 20;
// Of the thread's own JavaScript; the engine's memory is not counted in it and bounded by the module.
const THREAD_LIMITS = { maxOldGenerationSizeMb: 128, maxYoungGenerationSizeMb: 32, stackSizeMb: 4 };
/** The engine collects garbage harder beyond this part of its memory, */
const SOFT_SHARE = 0.75;
/** and once it holds this part, which it never gives back, the instance is replaced between two requests. */
const WORN_SHARE = 0.75;

interface Waiting {
  resolve(message: WorkerMessage): void;
  reject(reason: PolicyEngineError): void;
}

/**
 * One instance of the policy engine in a thread of its own. It serves one request at a time; whatever goes wrong ends it, as it then is in no
 * known state. Idle, it does not keep the process alive.
 */
export class EngineInstance {
  readonly #worker: Worker;
  readonly #limits: InstanceLimits;
  #waiting: Waiting | undefined;
  #ended: PolicyEngineError | undefined;
  #worn = false;

  private constructor(module: WebAssembly.Module, limits: InstanceLimits) {
    const setup: WorkerSetup = { module, softMemoryBytes: Math.floor(limits.memoryBytes * SOFT_SHARE) };
    this.#limits = limits;
    this.#worker = new Worker(new URL("./worker.ts", import.meta.url), {
      name: "policy-engine",
      workerData: setup,
      env: {},
      argv: [],
      execArgv: [],
      resourceLimits: THREAD_LIMITS,
    });
    this.#worker.on("message", (message: WorkerMessage) => this.#settle(message));
    this.#worker.on("error", (error) => this.#end(new PolicyEngineError("ENGINE_EXHAUSTED", messageOf(error), error)));
    this.#worker.on("exit", (code) => this.#end(crash(`its thread ended with code ${code}`)));
  }

  /** Starts an instance. Rejects with ENGINE_UNAVAILABLE. */
  static async start(module: WebAssembly.Module, limits: InstanceLimits): Promise<EngineInstance> {
    const instance = new EngineInstance(module, limits);
    try {
      await instance.#next(limits.startMs);
      return instance;
    } catch (error) {
      throw new PolicyEngineError("ENGINE_UNAVAILABLE", `the policy engine does not start: ${messageOf(error)}`, error);
    } finally {
      instance.#worker.unref();
    }
  }

  /** False: end it and take another. */
  get usable(): boolean {
    return this.#ended === undefined && !this.#worn;
  }

  /** Serves one request. Rejects with ENGINE_EXHAUSTED, and is not usable any more. */
  async serve(request: Uint8Array<ArrayBuffer>): Promise<Verdict> {
    this.#worker.ref();
    try {
      const answer = this.#next(this.#limits.evaluationMs);
      this.#worker.postMessage(request, [request.buffer]);
      const message = await answer;
      if (message.kind !== "answer") throw crash(`it said ${message.kind}`);
      this.#worn = message.verdict.kind === "undecided" || message.memoryBytes > this.#limits.memoryBytes * WORN_SHARE;
      return message.verdict;
    } finally {
      this.#worker.unref();
    }
  }

  /** Ends the instance, in the middle of a request too. */
  async end(): Promise<void> {
    this.#end(new PolicyEngineError("ENGINE_CLOSED", "the policy engine is closed"));
    await this.#worker.terminate();
  }

  /** The next message within `ms`; ends the instance if there is none. */
  #next(ms: number): Promise<WorkerMessage> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) return reject(this.#ended);
      const timer = setTimeout(() => this.#end(exhausted(`it took more than ${ms} ms`)), ms);
      this.#waiting = {
        resolve: (message) => {
          clearTimeout(timer);
          resolve(message);
        },
        reject: (reason) => {
          clearTimeout(timer);
          reject(reason);
        },
      };
    });
  }

  #settle(message: WorkerMessage): void {
    if (message.kind === "crashed") {
      this.#end(this.#failure(message.reason));
      return;
    }
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve(message);
  }

  #failure(reason: string): PolicyEngineError {
    const [first = reason] = reason.split("\n");
    if (/out of memory|cannot allocate|stack overflow|stack exceeds/.test(reason))
      return exhausted(`it needed more than ${Math.floor(this.#limits.memoryBytes / MEBIBYTE)} MiB of memory`);
    return crash(first.slice(0, 200));
  }

  #end(reason: PolicyEngineError): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    void this.#worker.terminate();
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.reject(reason);
  }
}

function exhausted(how: string): PolicyEngineError {
  return new PolicyEngineError("ENGINE_EXHAUSTED", `the evaluation was ended: ${how}; simplify the policy`);
}

function crash(reason: string): PolicyEngineError {
  return new PolicyEngineError("ENGINE_EXHAUSTED", `the policy engine crashed: ${reason}`);
}
