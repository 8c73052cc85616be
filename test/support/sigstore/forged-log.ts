import { createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { json } from "@sigstore/core";
import type { TransparencyLogEntry } from "@sigstore/protobuf-specs";
import { newKey, sha256, spki } from "./forged-certificates.ts";

/** A log entry's body, before it is put into canonical JSON. */
export interface Body {
  readonly kind: string;
  readonly apiVersion: string;
  readonly spec: object;
}

export interface EntryOptions {
  readonly at?: Date;
  readonly promise?: boolean;
  readonly proof?: boolean;
}

const LEAVES = 7;

const leafHash = (leaf: Buffer): Buffer => sha256(Buffer.from([0]), leaf);
const nodeHash = (left: Buffer, right: Buffer): Buffer => sha256(Buffer.from([1]), left, right);
const split = (count: number): number => 2 ** (Math.ceil(Math.log2(count)) - 1);

/** RFC 6962 section 2.1: the tree's root, by its definition. */
function root(leaves: readonly Buffer[]): Buffer {
  const [only = Buffer.alloc(0)] = leaves;
  if (leaves.length === 1) return leafHash(only);
  const at = split(leaves.length);
  return nodeHash(root(leaves.slice(0, at)), root(leaves.slice(at)));
}

/** RFC 6962 section 2.1.1: the audit path of a leaf, by its definition. */
function path(index: number, leaves: readonly Buffer[]): Buffer[] {
  if (leaves.length === 1) return [];
  const at = split(leaves.length);
  const [left, right] = [leaves.slice(0, at), leaves.slice(at)];
  return index < at ? [...path(index, left), root(right)] : [...path(index - at, right), root(left)];
}

/** What a tree of some leaves proves of one of them. */
export function prove(index: number, leaves: readonly Buffer[]): { readonly root: Buffer; readonly hashes: Buffer[] } {
  return { root: root(leaves), hashes: path(index, leaves) };
}

/** A transparency log that signs what a test gives it: Rekor's first version with ECDSA, the second with Ed25519. */
export class ForgedLog {
  readonly key: KeyObject;
  readonly origin: string;
  readonly #version: 1 | 2;

  constructor(version: 1 | 2, origin = `rekor${version}.example.com`) {
    this.#version = version;
    this.origin = origin;
    this.key = version === 1 ? newKey() : generateKeyPairSync("ed25519").privateKey;
  }

  /** The log ID: of the key alone, or as signed notes have it for Ed25519. */
  get id(): Buffer {
    return this.#version === 1 ? sha256(spki(this.key)) : this.#noteId(this.origin);
  }

  entry(
    body: Body,
    { at = new Date(), promise = this.#version === 1, proof = true }: EntryOptions = {},
  ): TransparencyLogEntry {
    const canonicalizedBody = Buffer.from(json.canonicalize(body), "utf8");
    const logIndex = 4_711;
    const seconds = Math.floor(at.getTime() / 1000);
    const signed = json.canonicalize({
      body: canonicalizedBody.toString("base64"),
      integratedTime: seconds,
      logIndex,
      logID: sha256(spki(this.key)).toString("hex"),
    });
    const signedEntryTimestamp = sign("sha256", Buffer.from(signed), this.#version === 1 ? this.key : newKey());
    return {
      logIndex: String(logIndex),
      logId: { keyId: this.id },
      kindVersion: { kind: body.kind, version: body.apiVersion },
      integratedTime: this.#version === 1 ? String(seconds) : "0",
      inclusionPromise: promise ? { signedEntryTimestamp } : undefined,
      inclusionProof: proof ? this.#proof(canonicalizedBody) : undefined,
      canonicalizedBody,
    };
  }

  /** A checkpoint (signed note) over a root. */
  checkpoint(size: number, rootHash: Buffer, name = this.origin, key = this.key): string {
    const note = `${this.origin}${this.#version === 1 ? " - 1234" : ""}\n${size}\n${rootHash.toString("base64")}\n`;
    const hint = (this.#version === 1 ? this.id : this.#noteId(name)).subarray(0, 4);
    const signature = sign(this.#version === 1 ? "sha256" : null, Buffer.from(note), key);
    return `${note}\n\u2014 ${name} ${Buffer.concat([hint, signature]).toString("base64")}\n`;
  }

  #proof(body: Buffer): NonNullable<TransparencyLogEntry["inclusionProof"]> {
    const index = 4;
    const leaves = Array.from({ length: LEAVES }, (_, at) => (at === index ? body : randomBytes(32)));
    const { root: rootHash, hashes } = prove(index, leaves);
    const envelope = this.checkpoint(LEAVES, rootHash);
    return { logIndex: String(index), rootHash, treeSize: String(LEAVES), hashes, checkpoint: { envelope } };
  }

  #noteId(name: string): Buffer {
    const raw = Buffer.from(createPublicKey(this.key).export({ format: "jwk" }).x ?? "", "base64url");
    return sha256(Buffer.from(`${name}\n`), Buffer.from([1]), raw);
  }
}
