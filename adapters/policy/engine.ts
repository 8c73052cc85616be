import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { LRUCache } from "lru-cache";
import { messageOf } from "../../core/errors.ts";
import type { EvaluationInput, EvaluationResult, Evaluator, PolicyEngine } from "../../core/policy/types.ts";
import { PolicyEngineError } from "./errors.ts";
import { limitMemory } from "./memory.ts";
import { EnginePool, type PoolOptions } from "./pool.ts";
import { encodeRequest, type Verdict } from "./protocol.ts";

/** Where the engine is and what it may take; every limit has a default. */
export interface PolicyEngineOptions {
  /** The program: policy-engine/ compiled to WebAssembly. Read at the first use. */
  readonly path: string;
  /** Evaluations at the same time, each with its own thread and memory. */
  readonly workers?: number;
  /** For one evaluation, milliseconds; what takes longer is undecided. */
  readonly evaluationMs?: number;
  /** Of one worker. */
  readonly memoryBytes?: number;
  /** Of a policy's text. */
  readonly sourceBytes?: number;
  /** Of an input. */
  readonly inputBytes?: number;
  /** Evaluations that may wait for a worker. */
  readonly queue?: number;
  /** Verdicts that are remembered. */
  readonly remembered?: number;
}

const MEBIBYTE = 1 << 20;
const START_MS = 60_000;
const DEFAULTS = {
  workers: 2,
  evaluationMs: 5_000,
  memoryBytes: 384 * MEBIBYTE,
  sourceBytes: MEBIBYTE,
  inputBytes: 16 * MEBIBYTE,
  queue: 1_000,
  remembered: 1_000,
};

/** The engine, and how to end it. */
export interface ClosablePolicyEngine extends PolicyEngine {
  /** Loads the engine and starts a worker, so that the first evaluation does not wait for it. Throws PolicyEngineError. */
  warm(): Promise<void>;
  /** Ends the workers; whatever is under way is undecided. */
  close(): Promise<void>;
}

/**
 * The policy engine: CUE, Rego and CEL by their own Go engines, compiled to WebAssembly, in threads. Policies reach no file, no network and no
 * environment. Verdicts of policies that read neither clock nor chance are remembered.
 */
export function createPolicyEngine(options: PolicyEngineOptions): ClosablePolicyEngine {
  const settings = { ...DEFAULTS, ...options };
  const pool = new EnginePool(createLoader(settings.path, settings.memoryBytes), {
    startMs: START_MS,
    ...settings,
  } satisfies PoolOptions);
  const verdicts = new LRUCache<string, Verdict>({ max: settings.remembered });

  async function judge(evaluator: Evaluator, input: EvaluationInput | undefined, signal: AbortSignal) {
    refuseOversize("the policy", evaluator.source, settings.sourceBytes);
    refuseOversize("the input of the policy", input?.json ?? "", settings.inputBytes);
    const request = encodeRequest(evaluator, input);
    const key = createHash("sha256").update(request).digest("base64");
    const known = verdicts.get(key);
    if (known !== undefined) return known;
    const verdict = await pool.run(`${evaluator.language}:${evaluator.source}`, request, signal);
    if (verdict.repeatable && verdict.kind !== "undecided") verdicts.set(key, verdict);
    return verdict;
  }

  return {
    async evaluate(evaluator, input, signal): Promise<EvaluationResult> {
      try {
        const { kind, message } = await judge(evaluator, input, signal);
        return kind === "compliant" ? { kind } : { kind, message };
      } catch (error) {
        return { kind: "undecided", message: messageOf(error) };
      }
    },
    async check(evaluator, signal) {
      const { kind, message } = await judge(evaluator, undefined, signal);
      if (kind === "undecided") throw new PolicyEngineError("ENGINE_EXHAUSTED", message);
      return kind === "compliant" ? undefined : message;
    },
    async warm() {
      await this.check({ language: "cel", source: "true" }, AbortSignal.timeout(START_MS));
    },
    close: () => pool.close(),
  };
}

/** Compiles the program once, at the first call; after a failure the next call tries again. */
function createLoader(path: string, memoryBytes: number): () => Promise<WebAssembly.Module> {
  let module: Promise<WebAssembly.Module> | undefined;
  const load = async (): Promise<WebAssembly.Module> => {
    try {
      return await WebAssembly.compile(await readLimited(path, memoryBytes));
    } catch (error) {
      module = undefined;
      const message = `the policy engine at ${path} cannot be loaded: ${messageOf(error)}`;
      throw new PolicyEngineError("ENGINE_UNAVAILABLE", message, error);
    }
  };
  return () => {
    module ??= load();
    return module;
  };
}

/** Reads the program, its memory bounded: it is large, and in memory once. */
async function readLimited(path: string, memoryBytes: number): Promise<Uint8Array> {
  await using file = await open(path);
  const { size } = await file.stat();
  const start = Buffer.alloc(Math.min(size, MEBIBYTE));
  await file.read(start, 0, start.length, 0);
  const head = limitMemory(start, memoryBytes);
  const program = new Uint8Array(head.length + size - start.length);
  program.set(head);
  let at = head.length;
  while (at < program.length) {
    const { bytesRead } = await file.read(program, at, program.length - at, start.length + at - head.length);
    if (bytesRead === 0) throw new Error("the file is cut off");
    at += bytesRead;
  }
  return program;
}

function refuseOversize(what: string, text: string, most: number): void {
  const bytes = Buffer.byteLength(text);
  if (bytes > most)
    throw new PolicyEngineError(
      "ENGINE_LIMIT",
      `${what} has ${bytes} bytes, and ${most} is the most that is evaluated`,
    );
}
