import type { KeyObject } from "node:crypto";
import { getCACertificates } from "node:tls";
import type { TransparencyLogEntry } from "@sigstore/protobuf-specs";
import { Agent } from "undici";
import { DomainError, messageOf } from "../../core/errors.ts";
import { type Fields, fieldsOf, parseJson, stringField } from "../../core/json.ts";
import { startDeadline } from "../deadline.ts";
import { base64 } from "./candidate.ts";
import type { ContentHash, SignedContent } from "./content.ts";
import type { VerificationKey } from "./keys.ts";
import type { Signer } from "./log-body.ts";

/** What is looked for: a signature, and who made it. */
export interface LogQuery {
  readonly content: SignedContent;
  readonly signer: Signer;
  readonly key: VerificationKey;
}

/**
 * Asks a Rekor (v1) at `url` for its entries of a signature. What it answers is not verified. Rejects with a `DomainError` when the log
 * could not be asked.
 */
export type LogLookup = (url: string, query: LogQuery, signal: AbortSignal) => Promise<readonly TransparencyLogEntry[]>;

export type LogErrorCode = "LOG_UNREACHABLE" | "LOG_ANSWER_MALFORMED";

export interface LogLookupOptions {
  /** For one question, from the first packet to the last byte of the answer; 5 s if absent. */
  readonly attemptMs?: number;
  /** More certificate authorities (PEM) for the log's TLS certificate, beside the system's. */
  readonly ca?: string;
}

const ATTEMPT_MS = 5_000;
const LARGEST_ANSWER = 1024 * 1024;
const MOST_ENTRIES = 16;
const HEX = /^(?:[0-9a-f]{2})+$/;

function pem(label: string, der: Buffer): string {
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

function signerPem(signer: Signer): string {
  const spki = (key: KeyObject): Buffer => key.export({ type: "spki", format: "der" });
  return signer.kind === "certificate" ? pem("CERTIFICATE", signer.der) : pem("PUBLIC KEY", spki(signer.key));
}

function proposal(kind: string, spec: Fields): Fields {
  return { kind, apiVersion: "0.0.1", spec };
}

/** The entries that cosign would have made of the signature. Rekor finds one by the hash of its canonical form. */
export function proposedEntries({ content, signer, key }: LogQuery): readonly Fields[] {
  const verifier = Buffer.from(signerPem(signer)).toString("base64");
  const { envelope, signature } = content;
  if (envelope !== undefined) {
    return [
      proposal("dsse", { proposedContent: { envelope: envelope.json, verifiers: [verifier] } }),
      proposal("intoto", { content: { envelope: envelope.json }, publicKey: verifier }),
    ];
  }
  const hashes: readonly ContentHash[] =
    key.key.asymmetricKeyType === "ed25519" ? ["sha512", ...key.hashes] : key.hashes;
  return [...new Set(hashes)].flatMap((algorithm) => {
    const value = content.digest(algorithm)?.toString("hex");
    if (value === undefined) return [];
    const signed = { content: signature.toString("base64"), publicKey: { content: verifier } };
    return [proposal("hashedrekord", { data: { hash: { algorithm, value } }, signature: signed })];
  });
}

function hex(value: unknown): Buffer {
  if (typeof value !== "string" || !HEX.test(value)) throw new Error("a hash is not hexadecimal");
  return Buffer.from(value, "hex");
}

function integer(value: unknown): string {
  if (!Number.isSafeInteger(value)) throw new Error("a number is missing");
  return String(value);
}

function decoded(fields: unknown, name: string): Buffer {
  const bytes = base64(stringField(fields, name) ?? "");
  if (bytes === undefined) throw new Error(`${name} is not base64`);
  return bytes;
}

function proofOf(proof: Fields): Required<Pick<TransparencyLogEntry, "inclusionProof">>["inclusionProof"] {
  const hashes: unknown = proof["hashes"];
  return {
    logIndex: integer(proof["logIndex"]),
    rootHash: hex(proof["rootHash"]),
    treeSize: integer(proof["treeSize"]),
    hashes: (Array.isArray(hashes) ? hashes : []).map(hex),
    checkpoint: { envelope: stringField(proof, "checkpoint") ?? "" },
  };
}

/** One entry of Rekor's REST API as Sigstore's protobuf has it. Throws when it is none. */
export function entryFromApi(value: unknown): TransparencyLogEntry {
  const entry = fieldsOf(value) ?? {};
  const body = decoded(entry, "body");
  const kind = parseJson(body.toString("utf8"));
  const verification = fieldsOf(entry["verification"]);
  const proof = fieldsOf(verification?.["inclusionProof"]);
  return {
    logIndex: integer(entry["logIndex"]),
    logId: { keyId: hex(entry["logID"]) },
    kindVersion: { kind: stringField(kind, "kind") ?? "", version: stringField(kind, "apiVersion") ?? "" },
    integratedTime: integer(entry["integratedTime"]),
    inclusionPromise: { signedEntryTimestamp: decoded(verification, "signedEntryTimestamp") },
    inclusionProof: proof === undefined ? undefined : proofOf(proof),
    canonicalizedBody: body,
  };
}

function entriesFromApi(text: string): TransparencyLogEntry[] {
  const answer = parseJson(text);
  if (!Array.isArray(answer)) throw new Error("it is no list of entries");
  return answer.slice(0, MOST_ENTRIES).flatMap((found) => Object.values(fieldsOf(found) ?? {}).map(entryFromApi));
}

async function readBounded(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    if (length > LARGEST_ANSWER) throw new Error(`it is longer than ${LARGEST_ANSWER} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length).toString("utf8");
}

function failure(code: LogErrorCode, url: URL, why: string, cause?: unknown): DomainError<LogErrorCode> {
  return new DomainError(code, `transparency log ${url.host}: ${why}`, { cause });
}

class RekorClient {
  readonly #agent: Agent;
  readonly #attemptMs: number;

  constructor({ attemptMs = ATTEMPT_MS, ca }: LogLookupOptions) {
    this.#attemptMs = attemptMs;
    this.#agent = new Agent({
      connect: { timeout: attemptMs, ...(ca !== undefined && { ca: [...getCACertificates("default"), ca] }) },
      connections: 8,
      pipelining: 1,
      allowH2: false,
      maxHeaderSize: 16 * 1024,
      headersTimeout: 0, // the attempt's own deadline covers headers and body
      bodyTimeout: 0,
    });
  }

  async find(address: string, query: LogQuery, signal: AbortSignal): Promise<readonly TransparencyLogEntry[]> {
    const url = new URL("api/v1/log/entries/retrieve", address.endsWith("/") ? address : `${address}/`);
    const { status, text } = await this.#ask(url, JSON.stringify({ entries: proposedEntries(query) }), signal);
    if (status === 404)
      throw failure(
        "LOG_ANSWER_MALFORMED",
        url,
        "it cannot be searched (logs of Rekor v2 cannot); sign again so that the signature brings its log entry",
      );
    if (status !== 200) throw failure("LOG_UNREACHABLE", url, `it answered with HTTP ${status}`);
    try {
      return entriesFromApi(text);
    } catch (thrown) {
      throw failure("LOG_ANSWER_MALFORMED", url, `its answer cannot be read: ${messageOf(thrown)}`, thrown);
    }
  }

  async #ask(url: URL, body: string, parent: AbortSignal): Promise<{ status: number; text: string }> {
    using deadline = startDeadline(this.#attemptMs, parent);
    try {
      const response = await this.#agent.request({
        origin: url.origin,
        path: url.pathname,
        method: "POST",
        headers: { "user-agent": "entrepot", accept: "application/json", "content-type": "application/json" },
        body,
        signal: deadline.signal,
      });
      return { status: response.statusCode, text: await readBounded(response.body) };
    } catch (thrown) {
      const why = deadline.signal.aborted
        ? "it gave no answer in time"
        : `it could not be asked (${messageOf(thrown)})`;
      throw failure("LOG_UNREACHABLE", url, `${why}; check that it is up and reachable from the cluster`, thrown);
    }
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }
}

/** Lookups in Rekor over HTTP: bounded in bytes and time, no redirect followed, connections kept; `close` ends them. */
export function createLogLookup(options: LogLookupOptions = {}): LogLookup & { close(): Promise<void> } {
  const client = new RekorClient(options);
  const lookup: LogLookup = (url, query, signal) => client.find(url, query, signal);
  return Object.assign(lookup, { close: () => client.close() });
}
