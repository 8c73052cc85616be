import type { ServerResponse } from "node:http";
import { DomainError } from "../core/errors.ts";
import { headerOf, responseHeaders } from "../core/gateway/headers.ts";
import { type BackendAnswer, BackendError } from "./backend.ts";
import { readWhole, stopLate } from "./body.ts";
import { taken } from "./respond.ts";
import { Slots } from "./slots.ts";
import { hasDigest, OtherContent } from "./verified.ts";

const KIB = 1024;
const SMALL_BYTES = 64 * KIB;
const SMALL_TOGETHER = 16 * KIB * KIB;
const LARGE_TOGETHER = 64 * KIB * KIB;
const WAITING = 512;

export interface ManifestLimits {
  /** Bytes of one manifest. */
  readonly manifestBytes: number;
  /** From an answer's headers to its end, the wait for room included; and as long again for the client to take it. */
  readonly bodyMs: number;
}

/**
 * Sends manifests, each when it is whole and has its digest, so that a client gets the right bytes or an error. All that are held
 * together take 80 MiB at most: 16 MiB those of up to 64 KiB, which is nearly all there are, 64 MiB those that are larger or do not say
 * how large they are; neither wait for the others. Of each, 512 wait at most, of which undici may have read up to 64 KiB; who comes then
 * is told to come again. Room is free again when the client has taken its manifest or has had `bodyMs` to do so.
 */
export class Manifests {
  readonly #limits: ManifestLimits;
  readonly #small = new Slots(SMALL_TOGETHER, WAITING);
  readonly #large = new Slots(LARGE_TOGETHER, WAITING);

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
    if (answer.body.errored !== null) throw answer.body.errored;
    const stop = stopLate(answer, bodyMs);
    const room = size <= SMALL_BYTES ? this.#small : this.#large;
    const work = async (): Promise<number> => {
      const content = await readWhole(answer.body, manifestBytes, size);
      if (digest !== undefined && !hasDigest(content, digest)) throw new OtherContent();
      await this.#hand(answer, content, res);
      return content.length;
    };
    try {
      return await room.run(work, broken.signal, size);
    } catch (thrown) {
      if (!(thrown instanceof DomainError) || thrown.code !== "BUSY") throw thrown;
      answer.body.on("error", () => undefined).destroy();
      throw new BackendError("BUSY", "the gateway holds as many manifests as it may until their clients take them");
    } finally {
      clearTimeout(stop);
    }
  }

  async #hand({ status, headers }: BackendAnswer, content: Buffer, res: ServerResponse): Promise<void> {
    res.writeHead(status, { ...responseHeaders(headers), "content-length": String(content.length) }).end(content);
    const giveUp = setTimeout(() => res.destroy(), this.#limits.bodyMs);
    await taken(res).finally(() => clearTimeout(giveUp));
  }
}
