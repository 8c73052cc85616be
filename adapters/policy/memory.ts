const PREAMBLE_BYTES = 8; // magic number and version
const MEMORY_SECTION = 5;
const CODE_SECTION = 10;
/** The unit in which WebAssembly memory grows. */
export const PAGE_BYTES = 65_536;

/**
 * A module, or the beginning of one with everything before its code, with an upper bound of `maxBytes` on its memory: growing beyond it fails inside the
 * program. For modules that declare one memory without an upper bound, as Go's are. Throws for anything else. (WebAssembly core specification, 5.5.8.)
 */
export function limitMemory(module: Uint8Array, maxBytes: number): Uint8Array<ArrayBuffer> {
  let at = PREAMBLE_BYTES;
  while (at < module.length) {
    const id = module[at];
    const size = readNumber(module, at + 1);
    const end = size.next + size.value;
    if (id === MEMORY_SECTION) return withMemorySection(module, at, size.next, end, maxBytes);
    if (id === undefined || id === CODE_SECTION) break;
    at = end;
  }
  throw new Error("the module declares no memory");
}

function withMemorySection(
  module: Uint8Array,
  start: number,
  content: number,
  end: number,
  maxBytes: number,
): Uint8Array<ArrayBuffer> {
  const unbounded = module[content] === 1 && module[content + 1] === 0;
  if (!unbounded) throw new Error("the module does not declare exactly one memory without an upper bound");
  const least = readNumber(module, content + 2);
  if (least.next !== end) throw new Error("the module's memory section is malformed");
  const most = Math.floor(maxBytes / PAGE_BYTES);
  if (most < least.value)
    throw new Error(`the module needs ${least.value * PAGE_BYTES} bytes to start, and may have ${maxBytes}`);
  const limits = [1, 1, ...number(least.value), ...number(most)];
  const section = [MEMORY_SECTION, ...number(limits.length), ...limits];
  const bounded = new Uint8Array(module.length - (end - start) + section.length);
  bounded.set(module.subarray(0, start));
  bounded.set(section, start);
  bounded.set(module.subarray(end), start + section.length);
  return bounded;
}

/** LEB128, unsigned. */
function readNumber(module: Uint8Array, at: number): { readonly value: number; readonly next: number } {
  let value = 0;
  for (let index = 0; index < 5; index++) {
    const byte = module[at + index];
    if (byte === undefined) break;
    value += (byte & 0x7f) * 2 ** (7 * index);
    if (byte < 0x80) return { value, next: at + index + 1 };
  }
  throw new Error("the file is no WebAssembly module");
}

function number(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...number(value >>> 7)];
}
