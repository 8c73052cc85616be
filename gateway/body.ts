import { type Readable, Transform, type TransformCallback } from "node:stream";
import { BackendError } from "./backend.ts";

function tooLong(limit: number): BackendError {
  return new BackendError("BACKEND_MALFORMED", `its backend sends more than ${limit} bytes`);
}

/** Passes bytes on, counts them, and fails past a limit. */
export class Meter extends Transform {
  readonly #limit: number;
  #bytes = 0;

  constructor(limit: number) {
    super();
    this.#limit = limit;
  }

  get bytes(): number {
    return this.#bytes;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    this.#bytes += chunk.length;
    if (this.#bytes > this.#limit) callback(tooLong(this.#limit));
    else callback(null, chunk);
  }
}

/** The whole of a body as text. Throws `BackendError` past `limit` bytes. */
export async function readText(body: Readable, limit: number): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > limit) throw tooLong(limit);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
