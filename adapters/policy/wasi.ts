/** The process exit of a WebAssembly program, which unwinds it. */
export class ProgramExit extends Error {
  readonly code: number;

  constructor(code: number) {
    super(`the program ended with code ${code}`);
    this.code = code;
  }
}

/** What a program is given of the system, and what it has said. */
export interface System {
  readonly imports: WebAssembly.Imports;
  /** What the program wrote to its standard output and error, from the start; the rest is dropped. */
  said(): string;
}

const WASI = "wasi_snapshot_preview1";
// Errnos of WASI preview 1.
const SUCCESS = 0;
const BAD_DESCRIPTOR = 8;
const INVALID = 28;
const NOT_SUPPORTED = 52;

const SUBSCRIPTION_BYTES = 48;
const EVENT_BYTES = 32;
const KEPT_OUTPUT_BYTES = 16 << 10;
/** The only argument: Go programs count on one. */
const NAME = Buffer.from("policy-engine\0");
const RANDOM_CHUNK = 65_536;
const LONGEST_NAP_MS = 1_000;

type SystemCall = (...args: never[]) => number;

/**
 * The system interface (WASI preview 1) of a program that is given nothing but clocks, random numbers and a mouth: no
 * environment, no files, no sockets. Not `node:wasi`, whose documentation advises against untrusted programs: what is not here cannot be asked for.
 * Every other function that `module` imports from WASI answers that it is not supported; imports from elsewhere throw.
 */
export function createSystem(module: WebAssembly.Module, memory: () => WebAssembly.Memory): System {
  let output = Buffer.alloc(0);
  const view = () => new DataView(memory().buffer);
  const bytes = (at: number, length: number) => new Uint8Array(memory().buffer, at >>> 0, length >>> 0);

  const calls: Readonly<Record<string, SystemCall>> = {
    args_sizes_get: (count: number, size: number) => {
      view().setUint32(count >>> 0, 1, true);
      view().setUint32(size >>> 0, NAME.length, true);
      return SUCCESS;
    },
    args_get: (pointers: number, at: number) => {
      view().setUint32(pointers >>> 0, at, true);
      bytes(at, NAME.length).set(NAME);
      return SUCCESS;
    },
    environ_sizes_get: (count: number, size: number) => {
      view().setUint32(count >>> 0, 0, true);
      view().setUint32(size >>> 0, 0, true);
      return SUCCESS;
    },
    environ_get: () => SUCCESS,
    sched_yield: () => SUCCESS,
    // The end of the list of preopened directories, at its start.
    fd_prestat_get: () => BAD_DESCRIPTOR,
    fd_fdstat_get: () => BAD_DESCRIPTOR,
    proc_exit: (code: number) => {
      throw new ProgramExit(code);
    },
    clock_time_get: (clock: number, _precision: bigint, at: number) => {
      const now = nanoseconds(clock);
      if (now === undefined) return INVALID;
      view().setBigUint64(at >>> 0, now, true);
      return SUCCESS;
    },
    random_get: (at: number, length: number) => {
      const wanted = bytes(at, length);
      for (let from = 0; from < wanted.length; from += RANDOM_CHUNK)
        crypto.getRandomValues(wanted.subarray(from, from + RANDOM_CHUNK));
      return SUCCESS;
    },
    fd_write: (descriptor: number, vectors: number, count: number, writtenAt: number) => {
      if (descriptor !== 1 && descriptor !== 2) return BAD_DESCRIPTOR;
      let written = 0;
      for (let index = 0; index < count; index++) {
        const vector = (vectors >>> 0) + 8 * index;
        const part = bytes(view().getUint32(vector, true), view().getUint32(vector + 4, true));
        written += part.length;
        const room = KEPT_OUTPUT_BYTES - output.length;
        if (room > 0) output = Buffer.concat([output, part.subarray(0, room)]);
      }
      view().setUint32(writtenAt >>> 0, written, true);
      return SUCCESS;
    },
    poll_oneoff: (subscriptions: number, events: number, count: number, happenedAt: number) => {
      for (let index = 0; index < count; index++) {
        const at = (subscriptions >>> 0) + SUBSCRIPTION_BYTES * index;
        if (view().getUint8(at + 8) !== 0) continue; // not a clock
        nap(view(), at);
        const event = events >>> 0;
        bytes(event, EVENT_BYTES).fill(0);
        view().setBigUint64(event, view().getBigUint64(at, true), true);
        view().setUint32(happenedAt >>> 0, 1, true);
        return SUCCESS;
      }
      return NOT_SUPPORTED;
    },
  };

  const wasi: WebAssembly.ModuleImports = {};
  for (const wanted of WebAssembly.Module.imports(module)) {
    if (wanted.module !== WASI || wanted.kind !== "function")
      throw new Error(`the program wants ${wanted.kind} ${wanted.module}.${wanted.name}, which it is not given`);
    wasi[wanted.name] = calls[wanted.name] ?? (() => NOT_SUPPORTED);
  }
  return { imports: { [WASI]: wasi }, said: () => output.toString("utf8") };
}

function nanoseconds(clock: number): bigint | undefined {
  if (clock === 0) return BigInt(Math.round((performance.timeOrigin + performance.now()) * 1e3)) * 1_000n;
  return clock === 1 ? process.hrtime.bigint() : undefined;
}

/** Sleeps for what a clock subscription asks, a second at most: the program looks at the clock again. */
function nap(view: DataView, subscription: number): void {
  const timeout = view.getBigUint64(subscription + 24, true);
  const absolute = (view.getUint16(subscription + 40, true) & 1) === 1;
  const from = absolute ? (nanoseconds(view.getUint32(subscription + 16, true)) ?? timeout) : 0n;
  const ms = Math.min(Number(timeout > from ? timeout - from : 0n) / 1e6, LONGEST_NAP_MS);
  if (ms > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
