import { type KeyObject, verify } from "node:crypto";
import { base64 } from "./candidate.ts";
import { hashOf } from "./content.ts";
import { Refusal } from "./refusal.ts";
import type { Log } from "./trustmaterial.ts";

/** What a log signs of its tree (https://c2sp.org/tlog-checkpoint). */
export interface Checkpoint {
  readonly origin: string;
  readonly size: bigint;
  readonly rootHash: Buffer;
}

interface NoteSignature {
  readonly name: string;
  readonly hint: Buffer;
  readonly signature: Buffer;
}

const LONGEST = 64 * 1024;
const MOST_SIGNATURES = 64;
const SEPARATOR = "\n\n";
const SIGNATURE_LINE = /^\u2014 (\S+) (\S+)$/; // an em dash, a name, base64 of a key hint and the signature
const SIZE = /^(?:0|[1-9][0-9]{0,18})$/;
const HINT = 4;
const NOTE_ED25519 = Buffer.from([0x01]);

/** Verifies by the key's own algorithm: logs sign with SHA-256, or with Ed25519. */
export function isSignedByLog(key: KeyObject, data: Buffer, signature: Buffer): boolean {
  try {
    return verify(key.asymmetricKeyType === "ed25519" ? null : "sha256", data, key, signature);
  } catch {
    return false; // bytes that OpenSSL cannot read as a signature
  }
}

/**
 * The first four bytes that a signature line of this key begins with. Ed25519: of the hash over name and key
 * (https://c2sp.org/signed-note), so that the name is bound; others: of the RFC 6962 log ID, as Rekor does.
 */
function hintOf({ key, id }: Log, name: string): Buffer {
  const { x } = key.asymmetricKeyType === "ed25519" ? key.export({ format: "jwk" }) : {};
  if (x === undefined) return id.subarray(0, HINT);
  return hashOf("sha256", `${name}\n`, NOTE_ED25519, Buffer.from(x, "base64url")).subarray(0, HINT);
}

function signatureOf(line: string): NoteSignature {
  const [, name, encoded = ""] = SIGNATURE_LINE.exec(line) ?? [];
  const bytes = base64(encoded);
  if (name === undefined || bytes === undefined || bytes.length <= HINT)
    throw new Refusal("the log's checkpoint has a malformed signature line");
  return { name, hint: bytes.subarray(0, HINT), signature: bytes.subarray(HINT) };
}

function bodyOf(note: string): Checkpoint {
  const [origin = "", size = "", root = ""] = note.split("\n");
  const rootHash = base64(root);
  if (origin === "" || !SIZE.test(size) || rootHash?.length !== 32)
    throw new Refusal("the log's checkpoint is malformed (it must begin with origin, size and root hash)");
  return { origin, size: BigInt(size), rootHash };
}

/**
 * Reads a checkpoint and verifies that one of `logs` signed it; signatures of others (witnesses) are ignored. Throws `Refusal`.
 */
export function verifiedCheckpoint(envelope: string, logs: readonly Log[]): { checkpoint: Checkpoint; log: Log } {
  const split = envelope.indexOf(SEPARATOR);
  if (split === -1 || envelope.length > LONGEST || !envelope.endsWith("\n"))
    throw new Refusal("the log's checkpoint is no signed note");
  const note = envelope.slice(0, split + 1);
  const lines = envelope.slice(split + SEPARATOR.length, -1).split("\n");
  if (lines.length > MOST_SIGNATURES) throw new Refusal("the log's checkpoint has too many signatures");
  const checkpoint = bodyOf(note);
  const data = Buffer.from(note, "utf8");
  const signatures = lines.map(signatureOf);
  const log = logs.find((candidate) =>
    signatures.some(
      ({ name, hint, signature }) =>
        hintOf(candidate, name).equals(hint) && isSignedByLog(candidate.key, data, signature),
    ),
  );
  if (log === undefined)
    throw new Refusal("the log's checkpoint is not signed by a transparency log of the trust root");
  return { checkpoint, log };
}
