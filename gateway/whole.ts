import type { ServerResponse } from "node:http";
import { DomainError } from "../core/errors.ts";
import { headerOf } from "../core/gateway/headers.ts";
import { Slots } from "../core/slots.ts";
import { type BackendAnswer, BackendError } from "./backend.ts";
import { readWhole, stopLate } from "./body.ts";
import { taken } from "./respond.ts";

const KIB = 1024;
const SMALL_BYTES = 64 * KIB;
const WAITING = 512;

export interface WholeLimits {
  /** What is held, for messages. */
  readonly what: "manifests" | "lists";
  /** Bytes of one answer. */
  readonly bytes: number;
  /** Bytes of all answers of up to 64 KiB together. */
  readonly smallTogether: number;
  /** Bytes of all together that are larger or do not say how large they are. */
  readonly largeTogether: number;
  /** From an answer's headers to its end, the wait for room included; and as long again for the client to take it. */
  readonly bodyMs: number;
}

/** What a client gets for a whole answer. */
export interface Whole {
  readonly content: Buffer;
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * Sends answers that are held whole until their clients have taken them, so that a client gets the right bytes or an error. There is room
 * for so many bytes at once: small answers, which nearly all are, do not wait for large ones. Of each, 512 wait at most, of which undici
 * may have read up to 64 KiB; who comes then is told to come again. Room is free again when the client has taken its answer or has had
 * `bodyMs` to do so.
 */
export class WholeAnswers {
  readonly #limits: WholeLimits;
  readonly #small: Slots;
  readonly #large: Slots;

  constructor(limits: WholeLimits) {
    this.#limits = limits;
    this.#small = new Slots(limits.smallTogether, WAITING);
    this.#large = new Slots(limits.largeTogether, WAITING);
  }

  /**
   * Sends what `make` makes of the answer's content, with the answer's status; the bytes of that. Throws `BackendError`, and what
   * `make` throws, before anything is sent.
   */
  async send(answer: BackendAnswer, make: (content: Buffer) => Whole, res: ServerResponse): Promise<number> {
    const { bytes, bodyMs, what } = this.#limits;
    const announced = Number(headerOf(answer.headers, "content-length"));
    const size = Number.isSafeInteger(announced) && announced >= 0 ? announced : bytes;
    const broken = new AbortController();
    answer.body.once("error", (thrown) => broken.abort(thrown));
    if (answer.body.errored !== null) throw answer.body.errored;
    const stop = stopLate(answer, bodyMs);
    const room = size <= SMALL_BYTES ? this.#small : this.#large;
    const read = async (): Promise<Whole> => make(await readWhole(answer.body, bytes, size));
    const work = async (): Promise<number> => {
      const whole = await read().finally(() => clearTimeout(stop));
      await this.#hand(answer.status, whole, res);
      return whole.content.length;
    };
    try {
      return await room.run(work, broken.signal, size);
    } catch (thrown) {
      if (!(thrown instanceof DomainError) || thrown.code !== "BUSY") throw thrown;
      answer.body.on("error", () => undefined).destroy();
      throw new BackendError("BUSY", `the gateway holds as many ${what} as it may until their clients take them`);
    } finally {
      clearTimeout(stop);
    }
  }

  async #hand(status: number, { content, headers }: Whole, res: ServerResponse): Promise<void> {
    res.writeHead(status, { ...headers, "content-length": String(content.length) }).end(content);
    const giveUp = setTimeout(() => res.destroy(), this.#limits.bodyMs);
    await taken(res).finally(() => clearTimeout(giveUp));
  }
}
