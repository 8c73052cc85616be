import { type Readable, Transform, type TransformCallback } from "node:stream";
import { type BackendAnswer, BackendError } from "./backend.ts";

const FIRST_BYTES = 16 * 1024;

/** What a body fails with that is longer than it may be. */
export function tooLong(limit: number): BackendError {
  return new BackendError("BACKEND_MALFORMED", `its backend sends more than ${limit} bytes`);
}

/** Passes bytes on and counts them. */
export class Meter extends Transform {
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    this.#bytes += chunk.length;
    callback(null, chunk);
  }
}

/**
 * The whole of a body, of which `expected` bytes are to come if that is known. Throws `BackendError` past `limit` bytes. The bytes are
 * copied into one piece as they come: held as they come, a body in pieces of one byte would take many times its size.
 */
export async function readWhole(body: Readable, limit: number, expected: number = FIRST_BYTES): Promise<Buffer> {
  let whole = Buffer.allocUnsafeSlow(Math.min(expected, limit));
  let size = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    const needed = size + chunk.length;
    if (needed > limit) throw tooLong(limit);
    if (needed > whole.length) {
      const larger = Buffer.allocUnsafeSlow(Math.min(limit, Math.max(needed, 2 * whole.length)));
      whole.copy(larger, 0, 0, size);
      whole = larger;
    }
    chunk.copy(whole, size);
    size = needed;
  }
  return whole.subarray(0, size);
}

/** The whole of a body as text. Throws `BackendError` past `limit` bytes. */
export async function readText(body: Readable, limit: number): Promise<string> {
  return (await readWhole(body, limit)).toString("utf8");
}

/** Breaks a body off that is not read to its end within `ms`; the timer must be cleared. */
export function stopLate({ body }: BackendAnswer, ms: number): NodeJS.Timeout {
  const late = new BackendError("BACKEND_TIMEOUT", `its backend did not finish within ${Math.ceil(ms / 1000)} s`);
  return setTimeout(() => body.destroy(late), ms);
}
