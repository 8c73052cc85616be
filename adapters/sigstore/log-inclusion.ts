import { hashOf } from "./content.ts";
import { Refusal } from "./refusal.ts";

const LEAF = Buffer.from([0x00]);
const NODE = Buffer.from([0x01]);
const INTEGER = /^(?:0|[1-9][0-9]{0,18})$/;

/** A non-negative integer of 64 bits in protobuf JSON, which writes it as a string. Throws `Refusal`. */
export function int64(text: string, what: string): bigint {
  if (!INTEGER.test(text)) throw new Refusal(`the log entry's ${what} is no number`);
  return BigInt(text);
}

/**
 * The root hash that a proof leads to from the leaf `body` at `index` in a tree of `size` leaves: RFC 9162 section 2.1.3.2.
 * Throws `Refusal` when the proof is not as long as it must be.
 */
export function rootFromProof(body: Buffer, index: bigint, size: bigint, hashes: readonly Buffer[]): Buffer {
  const refusal = new Refusal(
    "the log entry's inclusion proof has not the hashes that its index and the tree's size need",
  );
  if (index >= size) throw new Refusal("the log entry's index is beyond the checkpoint's tree");
  let fn = index;
  let sn = size - 1n;
  let root = hashOf("sha256", LEAF, body);
  for (const hash of hashes) {
    if (sn === 0n || hash.length !== 32) throw refusal;
    if ((fn & 1n) === 1n || fn === sn) {
      root = hashOf("sha256", NODE, hash, root);
      while ((fn & 1n) === 0n && fn !== 0n) {
        fn >>= 1n;
        sn >>= 1n;
      }
    } else {
      root = hashOf("sha256", NODE, root, hash);
    }
    fn >>= 1n;
    sn >>= 1n;
  }
  if (sn !== 0n) throw refusal;
  return root;
}
