import type { IncomingMessage } from "node:http";
import { HttpError } from "./errors.ts";

/**
 * The whole body of a request. Throws `HttpError`: BODY_TOO_LARGE over `maxBytes` (before reading, when the client says so),
 * BODY_TIMEOUT when `signal` aborts first, BODY_ABORTED when the client went away. At most `maxBytes` and one chunk are kept.
 */
export async function readBody(request: IncomingMessage, maxBytes: number, signal: AbortSignal): Promise<Buffer> {
  if (Number(request.headers["content-length"] ?? 0) > maxBytes) throw tooLarge(maxBytes);
  const chunks: Buffer[] = [];
  let size = 0;
  return await new Promise<Buffer>((resolve, reject) => {
    const settle = (act: () => void): void => {
      request.off("data", onData).off("end", onEnd).off("error", onBroken).off("close", onBroken);
      signal.removeEventListener("abort", onAbort);
      act();
    };
    const fail = (error: HttpError): void =>
      settle(() => {
        request.pause();
        reject(error);
      });
    const onData = (chunk: Buffer): void => {
      size += chunk.length;
      if (size > maxBytes) fail(tooLarge(maxBytes));
      else chunks.push(chunk);
    };
    const onEnd = (): void => settle(() => resolve(Buffer.concat(chunks, size)));
    const onBroken = (): void => fail(new HttpError("BODY_ABORTED", "The request ended before its body did"));
    const onAbort = (): void => fail(new HttpError("BODY_TIMEOUT", "The request's body did not come in time"));
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    request.on("data", onData).on("end", onEnd).on("error", onBroken).on("close", onBroken);
  });
}

function tooLarge(maxBytes: number): HttpError {
  return new HttpError("BODY_TOO_LARGE", `The request's body is longer than ${maxBytes} bytes`);
}
