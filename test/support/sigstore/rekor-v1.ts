import { createHash, generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { serveLoopback } from "./loopback.ts";

/**
 * A transparency log with the interface of Rekor's first version, which needs a database of its own: it signs what it is given and
 * keeps it in memory. What it says of an entry is what that Rekor says, in the same form, and the real cosign takes it for one.
 */
export interface RekorV1 {
  readonly url: string;
  /** PEM. */
  readonly publicKey: string;
  /** How often an entry was asked for. */
  lookups(): number;
  stop(): Promise<void>;
}

interface Proposed {
  readonly apiVersion: string;
  readonly kind: string;
  readonly spec: Readonly<Record<string, unknown>>;
}

interface Entry {
  readonly body: string;
  readonly integratedTime: number;
  readonly logID: string;
  readonly logIndex: number;
}

interface Kept {
  readonly uuid: string;
  readonly entry: object;
}

const ENTRIES = "/api/v1/log/entries";

const sha256 = (...parts: readonly (string | Buffer)[]): Buffer => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/** Starts one, on `port` if it is given. */
export async function startRekorV1(port = 0): Promise<RekorV1> {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const id = sha256(publicKey.export({ type: "spki", format: "der" }));
  const known = new Map<string, Kept>();
  let asked = 0;

  /** An entry is the first and only one of a tree of its own: what a log says after each freeze. */
  const proof = (origin: string, { body, integratedTime }: Entry) => {
    const root = sha256(Buffer.of(0), Buffer.from(body, "base64")); // RFC 6962, section 2.1
    const note = `${origin} - 1\n1\n${root.toString("base64")}\nTimestamp: ${integratedTime}000000000\n`;
    const signature = Buffer.concat([id.subarray(0, 4), sign("sha256", Buffer.from(note), privateKey)]);
    const checkpoint = `${note}\n\u2014 ${origin} ${signature.toString("base64")}\n`;
    return { logIndex: 0, treeSize: 1, rootHash: root.toString("hex"), hashes: [], checkpoint };
  };

  const append = (origin: string, proposed: Proposed): Kept => {
    const body = canonicalBody(proposed);
    const found = known.get(body);
    if (found !== undefined) return found;
    const entry: Entry = {
      body,
      integratedTime: Math.floor(Date.now() / 1000),
      logID: id.toString("hex"),
      logIndex: known.size,
    };
    const signedEntryTimestamp = sign("sha256", Buffer.from(canonical(entry)), privateKey).toString("base64");
    const kept = {
      uuid: randomBytes(40).toString("hex"),
      entry: { ...entry, verification: { signedEntryTimestamp, inclusionProof: proof(origin, entry) } },
    };
    known.set(body, kept);
    return kept;
  };

  const server = await serveLoopback((method, path, body) => {
    if (method !== "POST") return undefined;
    const request = JSON.parse(body.toString()) as unknown;
    if (path === ENTRIES) {
      const { uuid, entry } = append(new URL(server.origin).hostname, request as Proposed);
      return {
        status: 201,
        headers: { etag: uuid, location: `${ENTRIES}/${uuid}` },
        body: JSON.stringify({ [uuid]: entry }),
      };
    }
    if (path !== `${ENTRIES}/retrieve`) return undefined;
    asked += 1;
    const { entries = [] } = request as { entries?: readonly Proposed[] };
    const found = entries.flatMap((entry) => known.get(canonicalBody(entry)) ?? []);
    return { body: JSON.stringify(found.map(({ uuid, entry }) => ({ [uuid]: entry }))) };
  }, port);
  return {
    url: server.origin,
    publicKey: publicKey.export({ type: "spki", format: "pem" }).toString(),
    lookups: () => asked,
    stop: () => server.stop(),
  };
}

/** What Rekor keeps of a proposed entry, base64. */
function canonicalBody({ apiVersion, kind, spec }: Proposed): string {
  const kept = kind === "dsse" ? dsse(spec) : spec;
  return Buffer.from(canonical({ apiVersion, kind, spec: kept })).toString("base64");
}

/** Of an envelope, Rekor keeps its hashes, and who signed it. */
function dsse(spec: Proposed["spec"]): object {
  const { envelope, verifiers } = spec["proposedContent"] as { envelope: string; verifiers: readonly string[] };
  const { payload, signatures } = JSON.parse(envelope) as { payload: string; signatures: readonly { sig: string }[] };
  const hash = (content: string | Buffer) => ({ algorithm: "sha256", value: sha256(content).toString("hex") });
  return {
    envelopeHash: hash(envelope),
    payloadHash: hash(Buffer.from(payload, "base64")),
    signatures: signatures.map(({ sig }, index) => ({ signature: sig, verifier: verifiers[index] })),
  };
}

/** RFC 8785, for the values that entries hold. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonical(member)}`).join(",")}}`;
}
