import type { ServerResponse } from "node:http";
import { headerOf, responseHeaders } from "../core/gateway/headers.ts";
import type { BackendAnswer } from "./backend.ts";
import { readWhole, stopLate } from "./body.ts";
import { taken } from "./respond.ts";
import { Slots } from "./slots.ts";
import { hasDigest, OtherContent } from "./verified.ts";

const KIB = 1024;
const SMALL_BYTES = 64 * KIB;
const SMALL_TOGETHER = 16 * KIB * KIB;
const LARGE_TOGETHER = 64 * KIB * KIB;

export interface ManifestLimits {
  /** Bytes of one manifest. */
  readonly manifestBytes: number;
  /** From an answer's headers to its end, the wait for room included; and as long again for the client to take it. */
  readonly bodyMs: number;
}

/**
 * Sends manifests, each when it is whole and has its digest, so that a client gets the right bytes or an error. All that are held
 * together take 80 MiB at most: 16 MiB those of up to 64 KiB, which is nearly all there are, 64 MiB those that are larger or do not say
 * how large they are; neither wait for the others. A manifest that finds no room waits unread, with its connection to the backend, of
 * which there is a bounded number. Its room is free again when the client has taken it or has had `bodyMs` to do so.
 */
export class Manifests {
  readonly #limits: ManifestLimits;
  readonly #small = new Slots(SMALL_TOGETHER, Number.POSITIVE_INFINITY);
  readonly #large = new Slots(LARGE_TOGETHER, Number.POSITIVE_INFINITY);

  constructor(limits: ManifestLimits) {
    this.#limits = limits;
  }

  /** Sends the answer's content, checked against `digest` if there is one; the bytes that it has. Throws `BackendError` before anything is sent. */
  async send(answer: BackendAnswer, digest: string | undefined, res: ServerResponse): Promise<number> {
    const { manifestBytes, bodyMs } = this.#limits;
    const announced = Number(headerOf(answer.headers, "content-length"));
    const size = Number.isSafeInteger(announced) && announced >= 0 ? announced : manifestBytes;
    const broken = new AbortController();
    answer.body.once("error", (thrown) => broken.abort(thrown));
    const stop = stopLate(answer, bodyMs);
    const room = size <= SMALL_BYTES ? this.#small : this.#large;
    const work = async (): Promise<number> => {
      const content = await readWhole(answer.body, manifestBytes, size);
      if (digest !== undefined && !hasDigest(content, digest)) throw new OtherContent();
      await this.#hand(answer, content, res);
      return content.length;
    };
    return await room.run(work, broken.signal, size).finally(() => clearTimeout(stop));
  }

  async #hand({ status, headers }: BackendAnswer, content: Buffer, res: ServerResponse): Promise<void> {
    res.writeHead(status, { ...responseHeaders(headers), "content-length": String(content.length) }).end(content);
    // The connection, not the answer alone: that may wait behind another one, which the client asked for on the same connection.
    const giveUp = setTimeout(() => res.req.socket.destroy(), this.#limits.bodyMs);
    await taken(res).finally(() => clearTimeout(giveUp));
  }
}
