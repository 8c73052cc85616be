import { createHash, type Hash, hash } from "node:crypto";
import { Transform, type TransformCallback } from "node:stream";
import { BackendError } from "./backend.ts";

const ALGORITHMS: readonly string[] = ["sha256", "sha384", "sha512"];

/** Content that has another digest than the one it goes by. */
export class OtherContent extends BackendError {
  constructor() {
    super("BACKEND_MALFORMED", "its backend sends other content than it names");
  }
}

function algorithmOf(digest: string): string {
  return digest.slice(0, digest.indexOf(":"));
}

/** Whether content can be checked against a digest. */
export function isCheckable(digest: string): boolean {
  return ALGORITHMS.includes(algorithmOf(digest));
}

/** Whether this is the content that a digest names, which must be checkable. */
export function hasDigest(content: Buffer, digest: string): boolean {
  const algorithm = algorithmOf(digest);
  return `${algorithm}:${hash(algorithm, content, "hex")}` === digest;
}

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
    this.#algorithm = algorithmOf(digest);
    this.#hash = createHash(this.#algorithm);
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
    else callback(new OtherContent());
  }
}
