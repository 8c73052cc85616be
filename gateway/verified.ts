import { createHash, type Hash } from "node:crypto";
import { Transform, type TransformCallback } from "node:stream";
import { BackendError } from "./backend.ts";

const ALGORITHMS: readonly string[] = ["sha256", "sha384", "sha512"];

/**
 * Passes content on and holds back its last piece until the whole turns out to have the digest it goes by: content that has another
 * never arrives whole, so that no client can take it for what it asked for. A proxy checks what it keeps, but only after it has sent it
 * on (CNCF distribution, proxyblobstore.go), and manifests not at all.
 */
export class Verified extends Transform {
  readonly #digest: string;
  readonly #algorithm: string;
  readonly #hash: Hash;
  readonly #length: number;
  #seen = 0;
  #held: Buffer | undefined;

  /** `length` is how many bytes are to come; without it one piece is always held back, since each may be the last. */
  constructor(digest: string, length = 0) {
    super();
    this.#length = length;
    this.#digest = digest;
    this.#algorithm = digest.slice(0, digest.indexOf(":"));
    this.#hash = createHash(this.#algorithm);
  }

  /** Whether content can be checked against a digest. */
  static knows(digest: string): boolean {
    return ALGORITHMS.includes(digest.slice(0, digest.indexOf(":")));
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    this.#hash.update(chunk);
    this.#seen += chunk.length;
    if (this.#seen < this.#length) {
      callback(null, chunk);
      return;
    }
    const ready = this.#held;
    this.#held = chunk;
    callback(null, ready);
  }

  override _flush(callback: TransformCallback): void {
    if (`${this.#algorithm}:${this.#hash.digest("hex")}` === this.#digest) callback(null, this.#held);
    else callback(new BackendError("BACKEND_MALFORMED", "its backend sends other content than it names"));
  }
}
