// A worker thread with one instance of the policy engine: a request comes as a message, its answer goes back as one.
import { parentPort, workerData } from "node:worker_threads";
import { messageOf } from "../../core/errors.ts";
import { decodeVerdict, type WorkerMessage, type WorkerSetup } from "./protocol.ts";
import { createSystem } from "./wasi.ts";

/** What policy-engine/main.go exports. */
interface Exports {
  readonly memory: WebAssembly.Memory;
  _initialize(): void;
  start(softLimit: bigint): void;
  request_buffer(size: number): number;
  call(): number;
  answer_buffer(): number;
}

const MAX_ANSWER_BYTES = 1 << 20;

const { module, softMemoryBytes } = workerData as WorkerSetup;
const system = createSystem(module, () => engine.memory);
const instance = new WebAssembly.Instance(module, system.imports);
const engine = instance.exports as unknown as Exports;

function say(message: WorkerMessage): void {
  parentPort?.postMessage(message);
}

function serve(request: Uint8Array): void {
  const at = engine.request_buffer(request.length) >>> 0;
  new Uint8Array(engine.memory.buffer, at, request.length).set(request);
  const length = engine.call() >>> 0;
  if (length > MAX_ANSWER_BYTES) throw new Error(`the policy engine's answer has ${length} bytes`);
  const answer = Buffer.from(engine.memory.buffer, engine.answer_buffer() >>> 0, length).toString("utf8");
  say({ kind: "answer", verdict: decodeVerdict(answer), memoryBytes: engine.memory.buffer.byteLength });
}

/** Runs `work`; when it throws, the instance is in no known state: says why and lets nothing more in. */
function orCrash(work: () => void): void {
  try {
    work();
  } catch (thrown) {
    say({ kind: "crashed", reason: system.said().trim() || messageOf(thrown) });
    parentPort?.close();
  }
}

orCrash(() => {
  engine._initialize();
  engine.start(BigInt(softMemoryBytes));
  parentPort?.on("message", (request: Uint8Array) => orCrash(() => serve(request)));
  say({ kind: "ready" });
});
